"""Which LoRAs a generation takes, in which order, and for which model."""

import pytest
from django.test import Client

from characters.models import Character, Lora
from jobs.models import Job, JobLogLine

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_limits(settings) -> None:
    settings.RATE_LIMITS = "off"


def lora(character: Character | None = None, *, version: int | None = None, base_model: str = "flux-dev") -> Lora:
    number = Lora.objects.count()
    return Lora.objects.create(
        character=character,
        version=version,
        name=f"L{number}",
        key=f"loras/{number}.safetensors",
        size_bytes=1,
        sha256=f"{number:064x}",
        base_model=base_model,
    )


def start(api: Client, **config: object) -> object:
    body = {"config": {"prompt": "a portrait"} | config}
    return api.post("/api/generation", body, content_type="application/json")


def used() -> list[tuple[str, float]]:
    return [(each["id"], each["strength"]) for each in Job.objects.get().order["loras"]]


def test_loras_are_stacked_behind_the_first_in_their_order(api: Client, character: Character) -> None:
    first, second, third = lora(character, version=1), lora(), lora()
    more = [{"lora_id": f"uploaded:{third.pk}", "strength": 0.4}, {"lora_id": second.pk}]
    assert start(api, lora_id=character.pk, lora_strength=0.7, loras=more).status_code == 201
    assert used() == [(first.pk, 0.7), (third.pk, 0.4), (second.pk, 1.0)]
    assert Job.objects.get().character_id == character.pk


def test_loras_can_be_given_without_a_first(api: Client) -> None:
    only = lora()
    assert start(api, loras=[{"lora_id": only.pk}]).status_code == 201
    assert used() == [(only.pk, 1.0)]


def test_the_same_lora_twice_is_refused_however_it_is_named(api: Client, character: Character) -> None:
    own = lora(character, version=1)
    answer = start(api, lora_id=character.pk, loras=[{"lora_id": own.pk}])
    assert answer.status_code == 400
    assert answer.json()["detail"] == "config.loras.0.lora_id: is the same LoRA as lora_id: name it once."


def test_more_than_eight_in_all_are_refused(api: Client) -> None:
    many = [{"lora_id": lora().pk} for _ in range(8)]
    assert start(api, loras=many).status_code == 201
    answer = start(api, loras=many, lora_id=lora().pk)
    assert answer.json()["detail"] == "config.loras: at most 8 LoRAs, lora_id included."


def test_an_unknown_lora_among_others_is_404(api: Client) -> None:
    answer = start(api, lora_id=lora().pk, loras=[{"lora_id": "lora-xxx"}])
    assert (answer.status_code, answer.json()) == (404, {"detail": "LoRA lora-xxx not found"})


@pytest.mark.parametrize("field", ["lora_id", "loras"])
def test_a_lora_of_another_family_is_refused_in_words(api: Client, field: str) -> None:
    other = lora(base_model="sdxl")
    given = other.pk if field == "lora_id" else [{"lora_id": other.pk}]
    answer = start(api, **{field: given})
    assert answer.status_code == 400
    assert answer.json()["detail"].endswith(
        f"LoRA {other.pk} was made for Stable Diffusion XL 1.0; it does not fit FLUX.1 dev."
    )


def test_models_of_one_family_share_their_loras(api: Client) -> None:
    assert start(api, lora_id=lora(base_model="flux-dev").pk, model_variant="flux-schnell").status_code == 201


def test_a_lora_that_does_not_say_what_it_is_for_is_taken_and_the_log_says_so(api: Client) -> None:
    unknown = lora(base_model="")
    assert start(api, lora_id=unknown.pk).status_code == 201
    line = JobLogLine.objects.get(event="generation.lora_of_unknown_model")
    assert (line.level, unknown.pk in line.message) == ("WARNING", True)


def test_a_characters_newest_lora_for_the_model_is_used(api: Client, character: Character) -> None:
    fitting, _ = lora(character, version=1), lora(character, version=2, base_model="sdxl")
    assert start(api, lora_id=character.pk).status_code == 201
    assert used() == [(fitting.pk, 1.0)]


def test_the_job_records_what_repeats_it(api: Client, character: Character) -> None:
    own = lora(character, version=3)
    start(api, lora_id=character.pk, model_variant="flux-schnell")
    order = Job.objects.get().order
    assert order["model"] == {"name": "flux-schnell", "family": "flux"}
    assert order["loras"][0] | {"strength": 1.0} == {
        "id": own.pk,
        "name": "0.safetensors",
        "strength": 1.0,
        "sha256": own.sha256,
        "version": 3,
        "title": "L0",
        "base_model": "flux-dev",
    }
