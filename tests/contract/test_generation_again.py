"""POST /api/generation/{id}/rerun: the same pictures again, or the same but for what is to change."""

import json
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import Client

from characters.models import Character, Lora
from jobs.models import Job
from tests.contract.test_generation_images import upload

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def wildcards(settings, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.DATA_DIR = tmp_path
    folder = tmp_path / "wildcards"
    folder.mkdir()
    (folder / "colour.txt").write_text("".join(f"colour {n}\n" for n in range(1000)))
    return folder


def send(api: Client, path: str, body: object, **headers: str) -> object:
    return api.post(f"/api/generation{path}", json.dumps(body), content_type="application/json", headers=headers)


def started(api: Client, *, count: int = 1, **config: object) -> Job:
    answer = send(api, "", {"config": {"prompt": "a portrait", "seed": 100} | config, "count": count})
    assert answer.status_code == 201, answer.json()
    return Job.objects.get(pk=answer.json()["id"])


def rerun(api: Client, job: Job, **body: object) -> Job:
    answer = send(api, f"/{job.pk}/rerun", body)
    assert answer.status_code == 201, answer.json()
    assert answer.json()["rerun_of"] == job.pk
    return Job.objects.get(pk=answer.json()["id"])


def refused(api: Client, job: Job, **body: object) -> tuple[int, str]:
    before = Job.objects.count()
    answer = send(api, f"/{job.pk}/rerun", body)
    assert Job.objects.count() == before
    return answer.status_code, answer.json()["detail"]


def add_version(character: Character, version: int) -> Lora:
    return Lora.objects.create(
        character=character,
        version=version,
        name=f"Ann v{version}",
        key=f"loras/{character.pk}/v{version}.safetensors",
        size_bytes=1,
        sha256=f"{version}" * 64,
    )


def prompts(job: Job) -> list[str]:
    return [texts["prompt"] for texts in job.order["prompts"]]


def test_a_rerun_is_a_new_job_with_the_same_config(api: Client) -> None:
    job = started(api, count=3, steps=7, negative_prompt="rain", lora_strength=0.5)
    again = rerun(api, job)
    assert again.pk != job.pk
    assert (again.config, again.order["count"]) == (job.config, 3)


def test_a_rerun_needs_no_body(api: Client) -> None:
    job = started(api)
    answer = api.generic("POST", f"/api/generation/{job.pk}/rerun")
    assert (answer.status_code, answer.json()["rerun_of"]) == (201, job.pk)


def test_a_seed_that_was_random_is_used_again(api: Client) -> None:
    job = started(api, seed=None)
    assert job.config["seed"] is not None
    assert rerun(api, job).config["seed"] == job.config["seed"]


def test_one_image_is_made_again_with_its_own_seed(api: Client) -> None:
    again = rerun(api, started(api, count=4), index=2)
    assert (again.config["seed"], again.order["count"]) == (102, 1)


def test_only_what_is_named_changes(api: Client) -> None:
    job = started(api, count=2, steps=7)
    again = rerun(api, job, config={"steps": 9, "width": 512}, count=3)
    assert again.config == {**job.config, "steps": 9, "width": 512}
    assert again.order["count"] == 3


def test_a_null_seed_is_another_picture(api: Client) -> None:
    job = started(api)
    assert rerun(api, job, config={"seed": None}).config["seed"] != job.config["seed"]


def test_the_lora_is_the_version_that_was_used_and_not_the_newest(api: Client, character: Character) -> None:
    first = add_version(character, 1)
    job = started(api, lora_id=character.pk)
    add_version(character, 2)
    again = rerun(api, job)
    assert again.order["loras"] == job.order["loras"]
    assert (again.config["lora_id"], again.character_id) == (first.pk, character.pk)


def test_stacked_loras_are_the_versions_that_were_used(api: Client, character: Character) -> None:
    other = Character.objects.create(name="Bob", trigger_word="bob_person")
    add_version(character, 1)
    add_version(other, 1)
    job = started(api, loras=[{"lora_id": other.pk, "strength": 0.3}], lora_id=character.pk)
    add_version(other, 2)
    assert rerun(api, job, config={"lora_strength": 0.9}).order["loras"] == [
        {**job.order["loras"][0], "strength": 0.9},
        job.order["loras"][1],
    ]


def test_a_lora_that_is_gone_is_404_until_another_one_is_named(api: Client, character: Character) -> None:
    lora = add_version(character, 1)
    job = started(api, lora_id=character.pk)
    Lora.objects.all().delete()
    status, said = refused(api, job)
    assert status == 404
    assert f"LoRA {lora.pk} (Ann v1), which {job.pk} was made with, has been deleted" in said
    assert rerun(api, job, config={"lora_id": None}).order["loras"] == []


def test_a_lora_of_other_bytes_is_refused(api: Client, character: Character) -> None:
    lora = add_version(character, 1)
    job = started(api, lora_id=character.pk)
    Lora.objects.filter(pk=lora.pk).update(sha256="f" * 64)
    status, said = refused(api, job)
    assert (status, "has other bytes now" in said) == (400, True)


def test_a_client_that_sends_the_whole_config_back_changes_nothing(api: Client, character: Character) -> None:
    add_version(character, 1)
    job = started(api, count=2, lora_id=character.pk, dynamic_prompts=True, prompt="__colour__")
    add_version(character, 2)
    again = rerun(api, job, config=job.config)
    assert again.order["loras"] == job.order["loras"]
    assert prompts(again) == prompts(job)


def test_what_was_chosen_in_the_prompts_is_kept(api: Client, wildcards: Path) -> None:
    job = started(api, count=3, dynamic_prompts=True, prompt="a __colour__ coat", negative_prompt="{a|b|c|d}")
    (wildcards / "colour.txt").unlink()
    assert rerun(api, job, config={"seed": 5}).order["prompts"] == job.order["prompts"]
    assert rerun(api, job, index=1).order["prompts"] == job.order["prompts"][1:2]


def test_a_changed_prompt_is_written_out_anew_and_the_other_one_kept(api: Client) -> None:
    job = started(api, dynamic_prompts=True, prompt="a __colour__ coat", negative_prompt="{a|b|c|d}")
    again = rerun(api, job, config={"prompt": "a __colour__ hat"})
    assert prompts(again)[0].startswith("a colour ")
    assert prompts(again)[0].endswith(" hat")
    assert again.order["prompts"][0]["negative_prompt"] == job.order["prompts"][0]["negative_prompt"]


def test_more_images_than_before_are_those_that_the_first_job_would_have_had(api: Client) -> None:
    long = started(api, count=4, dynamic_prompts=True, prompt="a __colour__ coat")
    short = started(api, count=2, dynamic_prompts=True, prompt="a __colour__ coat")
    assert prompts(rerun(api, short, count=4)) == prompts(long)


def test_given_images_are_used_again(api: Client) -> None:
    name = upload(api)["name"]
    job = started(api, init_image=name)
    assert rerun(api, job).order["images"] == job.order["images"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"index": 2}, "index: must be from 0 to 1: {job} is of 2 images."),
        ({"index": -1}, "index: "),
        ({"index": True}, "index: "),
        ({"count": 0}, "count: "),
        ({"count": 9}, "count: "),
        ({"config": {"steps": 0}}, "config.steps: "),
        ({"config": {"steps": True}}, "config.steps: "),
        ({"config": {"cfg": 1}}, "config.cfg: there is no such parameter."),
        ({"config": {"lora_id": "lora-xxx"}}, "LoRA lora-xxx not found"),
        ({"config": []}, "config: "),
        ({"config": None}, "config: "),
        ({"seed": 1}, "seed: there is no such parameter."),
        ({"config": {"seed": 2**53 - 1}}, "seed: with count 2 the last image's seed would be beyond"),
        ({"config": {"dynamic_prompts": True, "prompt": "__nobody__"}}, 'config.prompt: there is no wildcard "nobody"'),
    ],
)
def test_what_cannot_be_changed_so_is_named(api: Client, body: dict, said: str) -> None:
    job = started(api, count=2, steps=1)
    status, detail = refused(api, job, **body)
    assert status == (404 if said.startswith("LoRA") else 400)
    assert detail.startswith(said.format(job=job.pk)), detail


@pytest.mark.parametrize("job_id", ["gen-xxx", "train-abc"])
def test_what_is_no_generation_cannot_be_made_again(api: Client, job_id: str) -> None:
    answer = send(api, f"/{job_id}/rerun", {})
    assert (answer.status_code, answer.json()) == (404, {"detail": f"Job {job_id} not found"})


def test_the_same_request_again_gets_the_same_rerun(api: Client) -> None:
    job = started(api)
    first, second = (send(api, f"/{job.pk}/rerun", {"count": 2}, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    other = send(api, f"/{started(api).pk}/rerun", {"count": 2}, **{"Idempotency-Key": "k"})
    assert other.status_code == 409


@pytest.mark.usefixtures("one_minute")
def test_reruns_count_against_the_limit_of_generations(api: Client, settings) -> None:
    job = started(api)
    settings.RATE_LIMITS = "contract"
    allowed = django_settings.RATES_PER_MINUTE["generation"]
    assert {send(api, f"/{job.pk}/rerun", {}).status_code for _ in range(allowed)} == {201}
    assert send(api, f"/{job.pk}/rerun", {}).status_code == 429
