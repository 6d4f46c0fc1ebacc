"""The forms by which operators start trainings and generations."""

import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.http import urlencode

from characters.models import Character, Lora, TrainingImage
from generation import offers
from generation.params import GenerationParams
from isengard.cockpit.start.fields import as_text, read
from isengard.cockpit.start.generation import GenerationForm
from jobs.models import Job, Status
from jobs.params import describe
from tests.generation import own_workflow_files
from tests.isengard.cockpit_people import logged_in
from tests.jobs import admin_rows as rows
from training.params import TrainingParams

pytestmark = pytest.mark.django_db
GENERATE = "/admin/generate/"
MARKED_AS_WRONG = r'<[^>]* (?:name|data-field)="([^"]*)"[^>]* aria-invalid="true"'


@pytest.fixture(autouse=True)
def _alone(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.use_empty_storage(settings, tmp_path)
    settings.DATA_DIR = tmp_path
    # No server answers; before one did, what clients count on is taken.
    settings.COMFYUI_URLS = ["http://127.0.0.1:9"]
    monkeypatch.setattr(offers, "_asked", None)


def photographed() -> Character:
    character = rows.new_character()
    size = {"width": 64, "height": 64, "bytes": 9, "content_type": "image/png"}
    TrainingImage.objects.create(
        character=character, name="a.png", key="uploads/a.png", sha256=rows.SHA, sha256_as_sent=rows.SHA, **size
    )
    return character


def train_address(character: Character) -> str:
    return reverse("admin:characters_character_train", args=[character.pk])


def filled_in(client: Client, address: str) -> dict[str, str]:
    """Return what a browser would send from this page."""
    page = client.get(address).content.decode()
    form = page[page.index('id="start-form"') : page.index('id="start-facts"')]
    sent = {}
    for tag, body in re.findall(
        r"<((?:input|select|textarea)\b[^>]*)>(.*?)(?=<(?:/?select|/textarea|input|label|div))", form, re.S
    ):
        named = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if "name" not in named or (('type="radio"' in tag or 'type="checkbox"' in tag) and " checked" not in tag):
            continue
        sent[named["name"]] = unescape(named.get("value", body.removeprefix("\n") if "textarea" in tag else ""))
    for name, options in re.findall(r'<select[^>]* name="(\w+)"[^>]*>(.*?)</select>', form, re.S):
        sent[name] = re.findall(r"<option selected>([^<]*)", options)[0] if "selected" in options else ""
    return sent


def send(client: Client, address: str, changes: Mapping[str, str] = {}) -> Any:
    """Fill in the page's form, with these changes, and send it."""
    return client.post(address, filled_in(client, address) | dict(changes))


def started(answer: Any) -> Job:
    assert answer.status_code == 302, re.findall(r'cp-error">([^<]*)|<p>([^<]*)', answer.content.decode())
    job = Job.objects.latest("created_at")
    assert answer.headers["Location"] == reverse("admin:jobs_job_change", args=[job.pk])
    return job


def errors_at(answer: Any, name: str) -> list[str]:
    assert answer.status_code == 200
    page = answer.content.decode()
    place = page[page.index(f'data-field="{name}"') :]
    found = re.findall(r'cp-error">([^<]*)', place[: place.find("data-field=", 20)])
    return [unescape(text) for text in found]


def facts_of(answer: Any) -> dict[str, Any]:
    """Return what the browser fills the form in with."""
    found = re.findall(r'id="start-facts" type="application/json">(.*?)</script>', answer.content.decode())
    facts: dict[str, Any] = json.loads(found[0])
    return facts


def test_every_declared_parameter_can_be_filled_in_with_its_default(admin_client: Client) -> None:
    sent = filled_in(admin_client, train_address(photographed()) + "?preset_name=custom")
    for name, about in describe(TrainingParams).items():
        assert sent[name] == as_text(about["default"]), name
    page = admin_client.get(GENERATE).content.decode()
    for name in set(GenerationParams.model_fields) - {"lora_id", "lora_strength", "loras", "workflow"}:
        assert f'name="{name}"' in page, name


def test_an_unchanged_form_starts_what_the_preset_says(admin_client: Client) -> None:
    character = photographed()
    job = started(send(admin_client, train_address(character)))
    expected = TrainingParams(steps=1000, lora_rank=16, resolution=768)
    assert job.config == expected.model_dump(mode="json")
    assert (job.order["base_model"], job.order["preset_name"], job.character_id) == (
        "flux-dev",
        "balanced",
        character.pk,
    )


def test_what_is_filled_in_goes_before_preset_and_model(admin_client: Client) -> None:
    changes = {"base_model": "sdxl", "preset_name": "quick", "lora_rank": "64", "learning_rate": "5e-5"}
    # As the browser fills it in for this model and preset.
    changes["network_alpha"] = "8"
    changes |= {"sample_prompts": "[trigger] at sea\r\n\r\n[trigger] at home", "steps": ""}
    job = started(send(admin_client, train_address(photographed()), changes))
    asked = {name: job.config[name] for name in ("steps", "lora_rank", "learning_rate", "sample_prompts")}
    assert asked == {
        "steps": 500,
        "lora_rank": 64,
        "learning_rate": 5e-5,
        "sample_prompts": ["[trigger] at sea", "[trigger] at home"],
    }
    # SDXL's own default is the rank, whatever that is.
    assert job.config["network_alpha"] == 64


def test_each_error_stands_at_its_field_and_nothing_is_lost(admin_client: Client) -> None:
    changes = {"steps": "5", "lora_rank": "7", "learning_rate": "much"}
    answer = send(admin_client, train_address(photographed()), changes)
    assert errors_at(answer, "steps") == ["Input should be greater than or equal to 100."]
    assert errors_at(answer, "lora_rank")
    assert errors_at(answer, "learning_rate")
    assert 'value="much"' in answer.content.decode()
    assert 'role="alert"' in answer.content.decode()
    answer = send(admin_client, train_address(Character.objects.get()), {"deadline": "soon"})
    assert "must be a duration" in errors_at(answer, "deadline")[0].lower()
    answer = send(admin_client, train_address(Character.objects.get()), {"start_after": "2099-01-01T00:00"})
    assert errors_at(answer, "start_after") == ["Must be at most 30 days ahead."]
    assert not Job.objects.exists()


def test_what_a_model_cannot_do_is_refused_at_the_field(admin_client: Client) -> None:
    answer = send(admin_client, train_address(photographed()), {"base_model": "sdxl", "precision": "fp16"})
    assert errors_at(answer, "precision")
    facts = facts_of(answer)
    assert "fp16" in facts["notes"]["sdxl"]["precision"]
    assert facts["fills"]["sdxl"]["quality"]["network_alpha"] == "32"


def test_a_character_without_photos_is_not_trained(admin_client: Client) -> None:
    answer = send(admin_client, train_address(rows.new_character()))
    page = answer.content.decode()
    assert "No training images uploaded for this character" in page
    assert "No photos yet" in page
    assert not Job.objects.exists()


def test_a_form_sent_twice_starts_one_job_and_its_starter_is_kept() -> None:
    client, address = logged_in("operator"), train_address(photographed())
    sent = filled_in(client, address)
    assert client.post(address, sent).headers["Location"] == client.post(address, sent).headers["Location"]
    job = Job.objects.get()
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.object_id, entry.action_flag) == ("a-operator", job.pk, ADDITION)
    answer = client.post(address, sent | {"steps": "700"})
    assert "was sent before" in answer.content.decode()
    assert Job.objects.count() == 1


def test_a_generation_takes_its_values_from_model_and_preset(admin_client: Client) -> None:
    changes = {"prompt": "a tower\r\nat night", "model_variant": "flux-schnell", "preset_name": "portrait", "steps": ""}
    job = started(
        send(admin_client, GENERATE, changes | {"guidance_scale": "", "width": "", "height": "", "count": "3"})
    )
    config = job.config
    assert (config["width"], config["height"], config["steps"], config["guidance_scale"]) == (832, 1248, 4, 1.0)
    assert config["prompt"] == "a tower\nat night"
    assert (job.order["count"], job.order["preset_name"]) == (3, "portrait")


def test_a_generation_says_what_is_wrong_at_each_field(admin_client: Client) -> None:
    answer = send(admin_client, GENERATE, {"prompt": " ", "steps": "0", "count": "99"})
    assert errors_at(answer, "prompt") == ["This field is required."]
    assert errors_at(answer, "steps")
    assert errors_at(answer, "count")
    answer = send(admin_client, GENERATE, {"prompt": "x", "use_upscale": "on"})
    assert errors_at(answer, "control_image") == []
    answer = send(admin_client, GENERATE, {"prompt": "x", "lora-0": "char-1", "lora-1": "lora-9", "strength-1": "7"})
    assert errors_at(answer, "loras")
    answer = send(admin_client, GENERATE, {"prompt": "x", "lora-0": "lora-1", "strength-0": "7"})
    assert re.findall(MARKED_AS_WRONG, answer.content.decode()) == ["strength-0"]
    answer = send(admin_client, GENERATE, {"prompt": "x", "model_variant": "unheard-of"})
    assert re.findall(MARKED_AS_WRONG, answer.content.decode()) == ["model_variant"]


def test_loras_are_applied_in_the_order_of_their_rows(admin_client: Client) -> None:
    character = rows.new_character()
    facts = {"size_bytes": 1, "sha256": rows.SHA, "base_model": "flux-dev"}
    for version in (1, 2):
        key = f"loras/v{version}"
        Lora.objects.create(id=f"lora-{version}", character=character, version=version, name=key, key=key, **facts)
    assert "Ada Lovelace, its current LoRA (v2)" in admin_client.get(GENERATE).content.decode()
    changes = {"prompt": "x", "lora-0": character.pk, "strength-0": "0.8", "lora-2": "lora-1", "strength-2": "0.5"}
    job = started(send(admin_client, GENERATE, changes))
    assert [(lora["id"], lora["strength"]) for lora in job.order["loras"]] == [("lora-2", 0.8), ("lora-1", 0.5)]


def made_before(**config: Any) -> Job:
    params = GenerationParams(prompt="a castle", seed=5, **config).model_dump(mode="json")
    order = {"count": 2, "loras": [], "prompts": [{"prompt": "a castle", "negative_prompt": ""}] * 2}
    return rows.new_job("gen-1", status=Status.COMPLETED, config=params, order=order)


def test_with_changes_everything_else_is_as_it_was(admin_client: Client) -> None:
    made_before(steps=33, width=768, negative_prompt="rain", use_facedetailer=False)
    job = started(send(admin_client, f"{GENERATE}?again=gen-1&index=1", {"guidance_scale": "5"}))
    assert job.order["rerun_of"] == "gen-1"
    asked = {name: job.config[name] for name in ("steps", "width", "seed", "guidance_scale", "negative_prompt")}
    assert asked == {"steps": 33, "width": 768, "seed": 6, "guidance_scale": 5.0, "negative_prompt": "rain"}
    assert job.order["count"] == 1


def test_what_is_emptied_is_not_as_it_was(admin_client: Client) -> None:
    made_before(negative_prompt="rain")
    job = started(send(admin_client, f"{GENERATE}?again=gen-1", {"seed": "", "negative_prompt": ""}))
    assert job.config["negative_prompt"] == ""
    assert job.config["seed"] != 5
    assert job.order["count"] == 2


def test_a_workflow_gets_only_what_was_changed(admin_client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "film.json").write_text(json.dumps(own_workflow_files.graph()))
    (folder / "film.map.json").write_text(json.dumps(own_workflow_files.mapping()))
    sent = QueryDict(urlencode(filled_in(admin_client, GENERATE) | {"prompt": "x", "workflow": "film", "steps": "9"}))
    assert GenerationForm.sent(sent).asked == {"prompt": "x", "steps": 9}
    answer = admin_client.post(GENERATE, sent)
    assert "cannot be reached" in errors_at(answer, "workflow")[0]
    taken = facts_of(answer)["workflows"]["film"]
    assert "prompt" in taken
    assert "denoise" not in taken


def test_a_switch_that_could_not_be_moved_says_nothing() -> None:
    declared, names = describe(GenerationParams), ("use_upscale", "control_preprocess", "dynamic_prompts")
    sent = QueryDict("use_upscale-switch=shown&dynamic_prompts-switch=shown&dynamic_prompts=on")
    assert read(declared, names, sent) == {"use_upscale": False, "dynamic_prompts": True}


def test_the_forms_cost_the_same_number_of_queries(admin_client: Client) -> None:
    character = photographed()
    addresses = (GENERATE, train_address(character))

    def cost() -> list[int]:
        counts = []
        for address in addresses:
            with CaptureQueriesContext(connection) as queries:
                assert admin_client.get(address).status_code == 200
            counts.append(len(queries))
        return counts

    cost()
    before = cost()
    for number in range(2, 12):
        other = rows.new_character(f"char-{number}")
        facts = {"size_bytes": 1, "sha256": rows.SHA}
        Lora.objects.create(character=other, version=1, name=str(number), key=f"loras/{number}", **facts)
        image = TrainingImage.objects.get(name="a.png", character=character)
        image.pk, image.name, image.key, image.sha256_as_sent = None, f"{number}.png", f"uploads/{number}", str(number)
        image.save()
    assert cost() == before
    assert max(before) <= 12


def test_only_operators_start_jobs() -> None:
    viewer, addresses = logged_in("viewer"), (GENERATE, train_address(photographed()))
    for address in addresses:
        assert viewer.get(address).status_code == 403
        assert viewer.post(address, {"prompt": "x"}).status_code == 403
        assert Client().get(address).headers["Location"].startswith(reverse("admin:login"))
    assert reverse("admin:generate") not in viewer.get(reverse("admin:gallery")).content.decode()
    assert not Job.objects.exists()
