"""`manage.py audit`: every planted fault is found, what can be mended is, and what is merely under way is no fault."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone

from characters.models import Character, Lora
from generation.models import InputImage
from isengard.audit import examination
from jobs.models import Artifact, Attempt, Job, JobLogLine, Slot, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(hours=2)
NOBODY = 65_534
DONE = {"status": Status.COMPLETED, "completed_at": timezone.now() - LONG_AGO}


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.DATA_DIR = tmp_path
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "tmp")
    monkeypatch.setattr(examination, "CONFIRM_SECONDS", 0)
    return rows.use_empty_storage(settings, tmp_path)


def audit(*options: str) -> list[tuple[str, str, bool]]:
    """Return the code and the subject of each finding, and whether it was repaired."""
    said = StringIO()
    with suppress(CommandError):
        call_command("audit", "--json", *options, stdout=said)
    return [(each["code"], each["subject"], each["is_repaired"]) for each in orjson.loads(said.getvalue())]


def wrong(*options: str) -> set[str]:
    return {f"{code} {subject}" for code, subject, _ in audit(*options)}


def old(path: Path) -> Path:
    written = time.time() - LONG_AGO.total_seconds()
    os.utime(path, (written, written))
    return path


def put(path: Path, content: bytes = b"0123456789") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def picture() -> Artifact:
    """Return the only image of a job that is in order."""
    return rows.publish(rows.new_job("gen-1", **DONE), "gen-1-0.png")


def lora(number: int, **fields: Any) -> Lora:
    """Record a LoRA and store something under its key."""
    made = {"name": "v", "key": f"loras/c/v{number}", "size_bytes": 10, "sha256": str(number) * 64} | fields
    put(Path(default_storage.location, made["key"]))
    return Lora.objects.create(**made)


def test_an_installation_in_order_has_no_findings_and_says_so(root: Path) -> None:
    picture()
    rows.running_job("gen-2", rows.new_slot())
    said = StringIO()
    call_command("audit", "--deep", stdout=said)
    assert said.getvalue() == "All is well.\n"


# --- files ---


def plant_missing_file(root: Path) -> None:
    (root / picture().key).unlink()


def plant_wrong_size(root: Path) -> None:
    put(root / picture().key, b"more than was published")


def plant_leftover(root: Path) -> None:
    old(put(root / "outputs/gen-1/1/nobody.png"))


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (plant_missing_file, "missing_file outputs/gen-1/1/gen-1-0.png"),
        (plant_wrong_size, "wrong_size outputs/gen-1/1/gen-1-0.png"),
        (plant_leftover, "leftover outputs/gen-1/1/nobody.png"),
    ],
)
def test_rows_and_files_that_do_not_agree_are_found(root: Path, plant: Callable[[Path], None], found: str) -> None:
    plant(root)
    assert wrong() == {found}


def test_only_a_deep_look_reads_what_is_in_a_file(root: Path) -> None:
    image = picture()
    Artifact.objects.update(details={"index": 0, "sha256": rows.SHA})
    lora(1)
    assert wrong() == set()
    assert {each.split()[0] for each in wrong("--deep")} == {"damaged_file", "damaged_lora"}
    assert f"damaged_file {image.key}" in wrong("--deep")


def test_what_the_servers_user_cannot_use_is_found_whoever_types_the_command(root: Path) -> None:
    key = picture().key
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)
        (root / key).chmod(0o600)
    else:
        (root / key).chmod(0)
        (root / "outputs").chmod(0o500)
    found = wrong()
    (root / "outputs").chmod(0o700)
    assert {f"unreadable_file {key}", "closed_folder outputs"} <= found


def test_a_file_that_appears_while_one_looks_is_no_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture()
    content = (root / image.key).read_bytes()
    (root / image.key).unlink()
    monkeypatch.setattr(time, "sleep", lambda _: put(root / image.key, content))
    assert wrong() == set()


def test_a_file_that_is_deleted_while_one_looks_is_no_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / picture().key).unlink()
    monkeypatch.setattr(time, "sleep", lambda _: Job.objects.all().delete())
    assert wrong() == set()


def test_a_job_that_ends_after_its_images_were_counted_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_missing_image()
    monkeypatch.setattr(time, "sleep", lambda _: rows.publish(Job.objects.get(), "gen-1-0.png"))
    assert wrong() == set()


RESULTS = {"loras/char-1/v2.safetensors", "outputs/gen-1/1/a.png", "uploads/char-1/a.png", "uploads/char-2/a.png"}


def test_a_repair_removes_no_result_that_the_database_does_not_know(root: Path) -> None:
    """It may be the wrong database, or an older one that was restored beside newer files."""
    rows.new_character("char-1")
    Character.objects.update(lora_versions_issued=1)
    for key in RESULTS:
        old(put(root / key))
    assert sorted(audit("--repair")) == [("leftover", key, False) for key in sorted(RESULTS)]
    assert rows.stored_files(root) == RESULTS


def test_a_repair_removes_the_lora_that_a_dead_attempt_left(root: Path) -> None:
    rows.new_character("char-1")
    Character.objects.update(lora_versions_issued=1)
    old(put(root / "loras/char-1/v1.safetensors"))
    assert audit("--repair") == [("leftover", "loras/char-1/v1.safetensors", True)]


def test_a_file_that_gets_its_row_while_one_looks_is_no_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = rows.new_job("gen-1", status=Status.FAILED)
    old(put(root / "outputs/gen-1/1/a.png"))
    row = {"name": "a.png", "key": "outputs/gen-1/1/a.png", "size_bytes": 10, "type": "output"}
    monkeypatch.setattr(time, "sleep", lambda _: Artifact.objects.create(job=job, **row))
    assert audit("--repair") == []
    assert rows.stored_files(root) == {"outputs/gen-1/1/a.png"}


def test_an_uploaded_image_that_nobody_used_is_left_to_a_cleanup(root: Path) -> None:
    put(root / "inputs/a.png")
    facts = {"size_bytes": 10, "sha256": rows.SHA, "content_type": "image/png", "width": 8, "height": 8}
    InputImage.objects.create(name="input-a.png", key="inputs/a.png", **facts)
    InputImage.objects.update(asked_for_at=timezone.now() - timedelta(days=8))
    old(root / "inputs/a.png")
    assert wrong() == set()


# --- rows ---


def plant_claim_of_nobody() -> None:
    rows.running_job("gen-1", rows.new_slot(), holder=None)


def plant_place_of_an_ended_job() -> None:
    rows.new_job("gen-1", status=Status.FAILED, gpu=rows.new_slot().gpu)


def plant_forgotten_attempt() -> None:
    Attempt.objects.create(job=rows.new_job("gen-1", status=Status.FAILED, attempt=1), number=1, slot="s")


def plant_log_in_the_database() -> None:
    job = rows.new_job("gen-1", **DONE | {"status": Status.FAILED})
    JobLogLine.objects.create(job=job, level="INFO", event="job.claimed", message="Attempt started")


def plant_version_that_would_come_again() -> None:
    lora(3, character=rows.new_character("gen-1"), version=3)


def plant_old_stray_file() -> None:
    rows.new_job("gen-1", status=Status.FAILED)
    plant_leftover(Path(default_storage.location))


@pytest.mark.parametrize(
    ("plant", "code"),
    [
        (plant_claim_of_nobody, "claimed_by_nobody"),
        (plant_place_of_an_ended_job, "claimed_by_nobody"),
        (plant_forgotten_attempt, "forgotten_attempt"),
        (plant_log_in_the_database, "not_archived"),
        (plant_version_that_would_come_again, "version_counter_behind"),
        (plant_old_stray_file, "leftover"),
    ],
)
def test_what_can_be_mended_without_harm_is_mended_only_when_asked(plant: Callable[[], None], code: str) -> None:
    plant()
    assert [(found, repaired) for found, _, repaired in audit()] == [(code, False)]
    assert [(found, repaired) for found, _, repaired in audit("--repair")] == [(code, True)]
    assert wrong() == set()


def test_a_claim_of_nobody_goes_back_to_the_queue() -> None:
    plant_claim_of_nobody()
    audit("--repair")
    job = Job.objects.get()
    assert (job.status, job.token, job.slot, job.gpu_id, job.crashes) == ("queued", "", "", None, 0)


def test_the_next_version_comes_after_the_newest() -> None:
    plant_version_that_would_come_again()
    audit("--repair")
    assert Character.objects.get().lora_versions_issued == 3


def plant_silent_holder() -> None:
    rows.running_job("gen-1", rows.new_slot(), heartbeat_at=timezone.now() - LONG_AGO)


def plant_holder_without_slot() -> None:
    rows.running_job("gen-1", rows.new_slot())
    Job.objects.update(slot="gone")


def plant_overlooked_job() -> None:
    rows.new_slot()
    rows.new_job("gen-1", created_at=timezone.now() - LONG_AGO)


def plant_two_workers_at_once() -> None:
    job = rows.new_job("gen-1", status=Status.FAILED, attempt=2)
    begun = timezone.now() - LONG_AGO
    for number in (1, 2):
        until = begun + timedelta(minutes=number)
        Attempt.objects.create(job=job, number=number, slot="s", claimed_at=begun, ended_at=until, outcome="crashed")


def plant_training_without_lora() -> None:
    rows.new_job("gen-1", kind="training", **DONE)


def plant_missing_image() -> None:
    rows.new_job("gen-1", **DONE)


def plant_missing_workflow() -> None:
    rows.new_job("gen-1", order={"count": 1, "loras": [], "workflow": {"name": "mine", "sha256": rows.SHA}})


def plant_two_loras_of_one_training() -> None:
    for number in (1, 2):
        lora(number, job_id="gen-1")


@pytest.mark.parametrize(
    ("plant", "code"),
    [
        (plant_silent_holder, "silent_holder"),
        (plant_holder_without_slot, "holder_without_slot"),
        (plant_overlooked_job, "overlooked_job"),
        (plant_two_workers_at_once, "overlapping_attempts"),
        (plant_training_without_lora, "training_without_lora"),
        (plant_missing_image, "wrong_number_of_images"),
        (plant_missing_workflow, "missing_workflow"),
        (plant_two_loras_of_one_training, "doubled_lora"),
    ],
)
def test_what_only_a_person_can_judge_is_told_and_left_alone(plant: Callable[[], None], code: str) -> None:
    plant()
    assert audit("--repair") == [(code, "gen-1", False)]


def test_a_lora_that_no_row_offers_is_found(root: Path) -> None:
    put(root / "loras/c/v1.safetensors")
    rows.new_job("train-1", kind="training", output_key="loras/c/v1.safetensors", **DONE)
    assert wrong() == {"lora_without_row loras/c/v1.safetensors"}
    (root / "loras/c/v1.safetensors").unlink()
    assert wrong() == set()


def test_a_job_that_waits_for_a_busy_slot_is_not_overlooked() -> None:
    plant_overlooked_job()
    rows.running_job("gen-2", Slot.objects.get())
    assert wrong() == set()


def test_people_read_what_is_wrong_and_what_to_do(root: Path) -> None:
    plant_missing_file(root)
    said = StringIO()
    with pytest.raises(CommandError, match="1 things are wrong"):
        call_command("audit", stdout=said)
    assert "missing_file outputs/gen-1/1/gen-1-0.png: A row names it, and there is no such file." in said.getvalue()
    assert "Copy `files/outputs/gen-1/1/gen-1-0.png` of a backup back" in said.getvalue()
