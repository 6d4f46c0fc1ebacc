"""The page of a LoRA: what it is, whether its file is intact, who uses it, and what goes when it is deleted."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from characters import loras
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
