"""What is swept without being asked: only what is surely nobody's."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from characters.models import Character, Lora
from jobs import files, leftovers, tidying
from jobs.models import Status
from tests.conftest import wait_until
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

HOURS = 3600


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "tmp")
    return rows.use_empty_storage(settings, tmp_path)


def put(path: Path, *, hours_ago: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0123456789")
    written = time.time() - hours_ago * HOURS
    os.utime(path, (written, written))
    return path


def test_the_workspace_of_an_ended_job_goes_at_once(root: Path) -> None:
    rows.new_job("train-1", kind="training", status=Status.CANCELLED)
    put(files.workspace("train-1") / "output" / "save.safetensors", hours_ago=0)
    tidying.tidy_machine()
    assert list((root / "workspaces").iterdir()) == []


@pytest.mark.parametrize("state", ["waiting", "running", "stopping"])
def test_the_workspace_of_a_job_stays_that_may_need_it(state: str) -> None:
    cancelled = {"status": Status.CANCELLED, "completed_at": "2026-01-01T00:00:00Z"} if state == "stopping" else {}
    if state == "waiting":
        rows.new_job("train-1", kind="training", attempt=1)
    else:
        rows.running_job("train-1", rows.new_slot(), **cancelled)
    save = put(files.workspace("train-1") / "save.safetensors", hours_ago=100)
    tidying.tidy_machine()
    assert save.exists()


def test_an_upload_is_abandoned_after_an_hour(root: Path) -> None:
    put(root / "tmp/old.upload", hours_ago=1.1)
    put(root / "tmp/young.upload", hours_ago=0.9)
    tidying.tidy_machine()
    assert rows.stored_files(root) == {"tmp/young.upload"}


def test_half_a_file_goes_after_an_hour(root: Path) -> None:
    put(root / "uploads/char-1/.0123456789abcdef.part", hours_ago=1.1)
    put(root / "thumbnails/uploads/c/a.png/.0123456789abcdef.part", hours_ago=1.1)
    put(root / "inputs/.0123456789abcdef.part", hours_ago=1.1)
    put(root / "loras/char-1/.00000000abcdef00.part", hours_ago=0.9)
    tidying.tidy_storage()
    assert rows.stored_files(root) == {"loras/char-1/.00000000abcdef00.part"}


def test_what_a_dead_attempt_stored_and_nobody_names_goes_after_a_day(root: Path) -> None:
    job = rows.new_job("train-1", kind="training", status=Status.COMPLETED, attempt=2)
    named = rows.publish(job, "step_00100.png", kind="sample")
    put(root / named.key, hours_ago=100)
    put(root / "samples/train-1/1/step_00100.png", hours_ago=25)
    put(root / "checkpoints/train-1/1/c.safetensors", hours_ago=25)
    put(root / "logs/train-1.7-abcd.jsonl", hours_ago=25)
    young = put(root / "samples/train-1/1/step_00200.png", hours_ago=23)
    tidying.tidy_storage()
    assert rows.stored_files(root) == {named.key, str(young.relative_to(root))}


def trained(version: int) -> str:
    return f"loras/char-1/v{version}.safetensors"


def test_the_lora_that_a_dead_training_stored_goes_after_a_day(root: Path) -> None:
    """A version that was never given out is of a newer database than this copy of it, and other files are people's."""
    rows.new_character("char-1")
    Character.objects.update(lora_versions_issued=4)
    Lora.objects.create(name="v1", key=trained(1), size_bytes=1, sha256=rows.SHA)
    rows.new_job("train-1", kind="training", status=Status.COMPLETED, output_key=trained(2))
    kept = {trained(1), trained(2), trained(5), "loras/uploaded/lora-1.safetensors", "loras/char-1/mine.safetensors"}
    for key in {*kept, trained(3)}:
        put(root / key, hours_ago=25)
    put(root / trained(4), hours_ago=23)
    tidying.tidy_storage()
    assert rows.stored_files(root) == {*kept, trained(4)}


def test_the_lora_of_a_training_that_may_be_at_work_stays(root: Path) -> None:
    rows.new_character("char-1")
    Character.objects.update(lora_versions_issued=1)
    rows.running_job("train-1", rows.new_slot(), kind="training", character_id="char-1")
    put(root / trained(1), hours_ago=100)
    tidying.tidy_storage()
    assert rows.stored_files(root) == {trained(1)}


def test_nothing_of_a_job_that_is_alive_goes(root: Path) -> None:
    rows.running_job("train-1", rows.new_slot())
    orphan = put(root / "checkpoints/train-1/1/c.safetensors", hours_ago=100)
    tidying.tidy_storage()
    assert orphan.exists()


def test_a_database_that_knows_nothing_of_the_files_removes_none_of_them(root: Path) -> None:
    """It may be the wrong one, or a new one beside old files."""
    put(root / "samples/train-1/1/step_00100.png", hours_ago=100)
    put(root / "loras/char-1/v1.safetensors", hours_ago=100)
    put(root / "uploads/char-1/a.png", hours_ago=100)
    put(root / "workspaces/train-1/save.safetensors", hours_ago=100)
    before = rows.stored_files(root)
    tidying.tidy_storage()
    tidying.tidy_machine()
    assert rows.stored_files(root) == before


def test_one_that_cannot_be_removed_keeps_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "tmp/a.upload", hours_ago=2)
    put(root / "tmp/b.upload", hours_ago=2)
    unlink = Path.unlink

    def refuse(path: Path, *arguments: Any) -> None:
        if path.name == "a.upload":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, *arguments)

    monkeypatch.setattr(Path, "unlink", refuse)
    tidying.tidy_machine()
    assert rows.stored_files(root) == {"tmp/a.upload"}


@pytest.mark.django_db(transaction=True)
def test_a_worker_tidies_its_machine_until_it_stops_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look(**_: object) -> list[object]:
        looks.append(1)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(leftovers, "idle_workspaces", look)
    monkeypatch.setattr(tidying, "MACHINE_SECONDS", 0.01)
    stop = threading.Event()
    thread = threading.Thread(target=tidying.keep_machine_tidy, args=(stop,))
    thread.start()
    wait_until(lambda: len(looks) > 2, what="three looks")
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
