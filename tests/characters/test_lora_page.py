"""The page of a LoRA: what it is, whether its file is intact, who uses it, and what goes when it is deleted."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from characters import loras
from characters.admin.lora import LoraAdmin
from characters.models import Lora
from tests.characters.cockpit_rows import address, new_character, new_lora, page, person
from tests.characters.lora_making import lora_bytes, upload_lora
from tests.jobs import admin_rows as jobs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    return jobs.use_empty_storage(settings, tmp_path)


@pytest.fixture
def operator() -> Client:
    return person("operator")


def verify(client: Client, lora_id: str) -> str:
    return str(client.post(address("lora_verify", lora_id), follow=True).content.decode())


def test_verifying_says_and_keeps_what_was_found_and_when(operator: Client, root: Path) -> None:
    lora = Lora.objects.get(pk=upload_lora()["id"])
    assert "Nobody has looked" in page(operator, "lora_change", lora.pk)
    assert "Yes.</strong> Verified 20" in verify(operator, lora.pk)
    (root / lora.key).write_bytes(lora_bytes(0.02))
    shown = verify(operator, lora.pk)
    assert "No.</strong> Verified 20" in shown
    assert "sha256 is" in shown
    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert "what it was" in said[0]
    assert "sha256 is" in said[1]
    # Nothing of it is held against the file the next time.
    (root / lora.key).write_bytes(lora_bytes())
    assert "Yes.</strong> Verified" in verify(operator, lora.pk)


def test_it_is_downloaded_under_its_own_name(operator: Client) -> None:
    made = upload_lora(filename="film look.safetensors")
    response = operator.get(address("lora_download", made["id"]))
    assert b"".join(response.streaming_content) == lora_bytes()
    assert 'filename="film look.safetensors"' in response.headers["Content-Disposition"]
    (lost,) = [new_lora(None, name="Lost")]
    assert operator.get(address("lora_download", lost.pk)).status_code == 404


def test_generations_that_use_it_are_shown_and_others_are_not(operator: Client) -> None:
    lora, other = new_lora(new_character(), 1), new_lora(None, name="Other")
    for job_id, used in (("gen-1", lora), ("gen-2", other)):
        jobs.new_job(job_id, order={"count": 1, "loras": [{"id": used.pk}]})
    shown = page(operator, "lora_change", lora.pk)
    assert "gen-1/change/" in shown
    assert "gen-2/change/" not in shown


def test_how_it_was_trained_is_told(operator: Client) -> None:
    training = {
        "image_count": 12,
        "dataset_hash": "abc",
        "caption_strategy": "trigger_only",
        "params": {"steps": 500, "lora_rank": 32},
        "trainer": {"name": "ai-toolkit", "version": "0.7"},
        "started_at": "2026-01-01T10:00:00.000Z",
        "ended_at": "2026-01-01T11:05:00.000Z",
        "continues": {"job_id": "train-0", "step": 200},
    }
    lora = new_lora(new_character(), 1, job_id="train-1", details={"step": 500, "rank": 32, "training": training})
    shown = page(operator, "lora_change", lora.pk)
    for said in ("train-1 (deleted)", "1 h 05 min", "step 200 of train-0", "ai-toolkit 0.7", "trigger only", "FLUX.1"):
        assert said in shown
    # Rows of earlier versions know less.
    assert page(operator, "lora_change", new_lora(None, name="Old", details={"training": {"seed": 1}}).pk)


def test_the_deletion_says_who_takes_over(operator: Client) -> None:
    character = new_character()
    first, second = new_lora(character, 1), new_lora(character, 2)
    assert "it is the current version, then v1 is" in page(operator, "lora_delete", second.pk)
    loras.promote(character.pk, first.pk)
    assert "it is the current version, then v2 is" in page(operator, "lora_delete", first.pk)
    assert "current version" not in page(operator, "lora_delete", second.pk)


def test_the_list_marks_and_finds_current_versions(operator: Client) -> None:
    character = new_character()
    first, second, sent = new_lora(character, 1), new_lora(character, 2), new_lora(None, name="Sent")

    def found(source: str) -> list[str]:
        response = operator.get(address("lora_changelist"), {"source": source})
        return [row.pk for row in response.context["cl"].result_list]

    assert (found("current"), found("older"), found("uploaded")) == ([second.pk], [first.pk], [sent.pk])
    loras.promote(character.pk, first.pk)
    assert (found("current"), found("older")) == ([first.pk], [second.pk])


def test_of_many_those_in_use_stay_and_the_trail_names_only_what_went(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    character = new_character()
    used, free = new_lora(character, 1), new_lora(character, 2)

    def refuse(lora_id: str) -> None:
        if lora_id == used.pk:
            raise loras.LoraInUse("gen-1 still needs it.")

    monkeypatch.setattr(loras, "_delete_checks", [refuse])
    chosen = {"action": "delete_selected", "_selected_action": [used.pk, free.pk], "post": "yes"}
    shown = admin_client.post(address("lora_changelist"), chosen, follow=True)
    said = [str(message) for message in shown.context["messages"]]
    assert any(line.startswith("1 LoRA deleted") for line in said)
    assert any(line.endswith("stays: gen-1 still needs it.") for line in said)
    assert list(Lora.objects.all()) == [used]
    assert [entry.object_id for entry in LogEntry.objects.all()] == [free.pk]
    # As where the need arises after the page that asks was shown.
    monkeypatch.setattr(LoraAdmin, "get_deleted_objects", lambda *_: ([], {}, set(), []))
    answer = admin_client.post(address("lora_delete", used.pk), {"post": "yes"}, follow=True)
    assert [str(message) for message in answer.context["messages"]] == ["gen-1 still needs it."]
    assert [entry.object_id for entry in LogEntry.objects.all()] == [free.pk]


def test_characters_and_loras_are_exported_as_their_lists_are_narrowed(operator: Client) -> None:
    ada = new_character(name="=Ada", description="of the sea")
    new_character("char-2", name="Bob", trigger_word="bob_person")
    older, newer = new_lora(ada, 1), new_lora(ada, 2)
    for model in ("character", "lora"):
        assert "Export 2 rows:" in page(operator, f"{model}_changelist")

    def exported(model: str, **query: str) -> list[dict[str, Any]]:
        answer = operator.get(address(f"{model}_export", "json"), query)
        return list(json.loads(answer.getvalue()))

    (told,) = exported("character", lora="some")
    assert (told["id"], told["lora_version"], told["lora_count"]) == (ada.pk, 2, 2)
    assert told["created_at"].endswith("Z")
    assert [(each["id"], each["is_current"]) for each in exported("lora")] == [(newer.pk, True), (older.pk, False)]
    assert "'=Ada" in operator.get(address("character_export", "csv")).getvalue().decode()
