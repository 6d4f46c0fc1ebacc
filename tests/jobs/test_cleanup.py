"""`manage.py cleanup`: what nobody will miss goes, and nothing else."""

import json
import os
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command

from characters.models import Lora, TrainingImage
from generation.models import WorkflowCopy
from jobs import files, leftovers
from jobs.models import Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

TWO_HOURS = 7200


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "tmp")
    return rows.use_empty_storage(settings, tmp_path)


def put(path: Path, *, age_seconds: float = TWO_HOURS, content: bytes = b"0123456789") -> Path:
    """Write a file that was last written so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    make_old(path, age_seconds)
    return path


def make_old(path: Path, age_seconds: float = TWO_HOURS) -> None:
    written = time.time() - age_seconds
    os.utime(path, (written, written))


def cleanup(*arguments: str) -> str:
    output = StringIO()
    call_command("cleanup", *arguments, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "uploads/char-1/a.png",
        "loras/char-1/v3.safetensors",
        "outputs/gen-0/1/gen-0-0.png",
        "samples/train-0/2/step_00100.png",
        "checkpoints/train-0/2/c.safetensors",
        "logs/train-0.9.jsonl",
        "uploads/char-1/.0123456789abcdef.part",
        "tmp/upload_x.upload",
    ],
)
def test_an_old_file_that_no_row_names_goes(root: Path, name: str) -> None:
    put(root / name)
    said = cleanup()
    assert name in said
    assert "1 leftovers (10 B) removed." in said
    assert rows.stored_files(root) == set()


def test_a_dry_run_names_what_would_go_and_its_sum_and_touches_nothing(root: Path) -> None:
    put(root / "uploads/char-1/a.png", content=b"x" * 1500)
    put(root / "logs/old.1.jsonl", content=b"x" * 500)
    said = cleanup("--dry-run")
    assert "1.5 kB  uploads/char-1/a.png  (no row names it)" in said
    assert "2 leftovers (2.0 kB) could be removed." in said
    assert rows.stored_files(root) == {"uploads/char-1/a.png", "logs/old.1.jsonl"}


def test_a_young_file_stays_because_its_row_may_be_about_to_appear(root: Path) -> None:
    put(root / "outputs/gen-0/1/a.png", age_seconds=600)
    put(root / "tmp/now.upload", age_seconds=600)
    assert "0 leftovers" in cleanup()
    assert "2 leftovers" in cleanup("--older-than-minutes", "5")


def test_files_that_rows_name_stay(root: Path) -> None:
    character = rows.new_character()
    image = {"sha256": rows.SHA, "sha256_as_sent": rows.SHA, "width": 64, "height": 64, "bytes": 9}
    TrainingImage.objects.create(character=character, name="a", key="uploads/char-1/a.png", **image)
    Lora.objects.create(key="loras/lora-1.safetensors", name="up", size_bytes=1, sha256=rows.SHA)
    job = rows.new_job("gen-1", status=Status.COMPLETED, log_key="logs/gen-1.1.jsonl", output_key="loras/char-1/v1.st")
    artifact = rows.publish(job, "gen-1-0.png")
    named = {"uploads/char-1/a.png", "loras/lora-1.safetensors", job.log_key, job.output_key, artifact.key}
    for key in named:
        put(root / key)
    assert "0 leftovers" in cleanup()
    assert rows.stored_files(root) == named


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_nothing_of_a_job_whose_engine_may_be_at_work_is_touched(root: Path, is_cancelled: bool) -> None:
    ended = {"status": Status.CANCELLED, "completed_at": "2026-01-01T00:00:00Z"} if is_cancelled else {}
    rows.running_job("train-1", rows.new_slot(), **ended)
    put(root / "samples/train-1/1/step.png")
    put(root / "logs/train-1.4.jsonl")
    put(files.workspace("train-1") / "output" / "save.safetensors")
    make_old(files.workspace("train-1"))
    assert "0 leftovers" in cleanup()


def test_the_workspace_of_a_job_that_waits_to_go_on_stays(root: Path) -> None:
    rows.new_job("train-1", kind="training", attempt=1)
    put(files.workspace("train-1") / "save.safetensors")
    assert "0 leftovers" in cleanup()


def test_workspaces_of_ended_and_of_unknown_jobs_go(root: Path) -> None:
    rows.new_job("train-1", kind="training", status=Status.FAILED)
    for job_id in ("train-1", "train-unknown"):
        put(files.workspace(job_id) / "output" / "save.safetensors")
        make_old(files.workspace(job_id))
    said = cleanup()
    assert "its job has ended" in said
    assert "there is no such job" in said
    assert "2 leftovers (20 B) removed." in said
    assert list((root / "workspaces").iterdir()) == []


def test_a_thumbnail_goes_when_its_picture_is_gone(root: Path) -> None:
    image = {"sha256": rows.SHA, "sha256_as_sent": rows.SHA, "width": 64, "height": 64, "bytes": 9}
    TrainingImage.objects.create(character=rows.new_character(), name="a", key="uploads/char-1/a.png", **image)
    put(root / "uploads/char-1/a.png")
    kept = put(root / "thumbnails/uploads/char-1/a.png/64.webp")
    lost = put(root / "thumbnails/uploads/char-1/b.png/64.webp")
    assert "(its picture is gone)" in cleanup()
    assert (kept.exists(), lost.exists()) == (True, False)


def test_the_lora_of_a_character_whose_training_may_be_at_work_stays(root: Path) -> None:
    """Its file is there before its row is."""
    rows.running_job("train-1", rows.new_slot(), kind="training", character_id="char-1")
    put(root / "loras/char-1/v1.safetensors")
    assert "0 leftovers" in cleanup()


def test_more_files_than_are_looked_up_at_once_are_all_judged(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "KEYS_AT_ONCE", 3)
    job = rows.new_job("gen-1", status=Status.COMPLETED)
    named = {rows.publish(job, f"gen-1-{number}.png").key for number in range(5)}
    for number in range(5):
        put(root / f"outputs/gen-1/1/lost-{number}.png")
    for key in named:
        make_old(root / key)
    assert "5 leftovers" in cleanup()
    assert rows.stored_files(root) == named


def test_copies_of_workflows_that_no_job_ran_go(root: Path) -> None:
    for name in ("used", "unused", "young"):
        WorkflowCopy.objects.create(sha256=name, name=name, content="{}")
    WorkflowCopy.objects.exclude(name="young").update(created_at="2026-01-01T00:00:00Z")
    rows.new_job("gen-1", status=Status.COMPLETED, order={"workflow": {"name": "used", "sha256": "used"}})
    assert "workflow unused unused  (no job was made from it)" in cleanup()
    assert set(WorkflowCopy.objects.values_list("name", flat=True)) == {"used", "young"}


def test_machines_read_json(root: Path) -> None:
    put(root / "uploads/char-1/a.png")
    told = json.loads(cleanup("--json", "--dry-run"))
    assert told["dry_run"] is True
    assert told["leftovers"] == {
        "count": 1,
        "size_bytes": 10,
        "kept": 0,
        "items": [{"name": "uploads/char-1/a.png", "size_bytes": 10, "why": "no row names it"}],
    }


def test_what_a_link_leads_to_is_not_ours(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("models")
    put(elsewhere / "somebody.safetensors")
    (root / "loras").mkdir()
    (root / "loras" / "linked").symlink_to(elsewhere)
    (root / "loras" / "one.safetensors").symlink_to(elsewhere / "somebody.safetensors")
    assert "0 leftovers" in cleanup()
    assert (elsewhere / "somebody.safetensors").exists()


def test_a_folder_of_other_things_is_not_looked_into(root: Path) -> None:
    put(root / "redis/appendonly.aof")
    put(root / "isengard.sqlite3")
    put(root / "simulator/comfyui/output/a.png")
    assert "0 leftovers" in cleanup()


def test_an_age_that_could_hit_a_publish_under_way_is_refused() -> None:
    with pytest.raises(CommandError, match="at least 5"):
        cleanup("--older-than-minutes", "1")


class StubbornStorage(FileSystemStorage):
    """A disk on which one file cannot be removed."""

    def delete(self, name: str) -> None:
        if name.endswith("stays.png"):
            raise PermissionError(13, "Permission denied", name)
        super().delete(name)


def test_a_file_that_cannot_be_removed_is_named_and_the_others_go(root: Path, settings: Any) -> None:
    stubborn = {"BACKEND": "tests.jobs.test_cleanup.StubbornStorage"}
    settings.STORAGES = {**settings.STORAGES, "default": stubborn}
    put(root / "outputs/gen-0/1/stays.png")
    put(root / "samples/train-0/1/goes.png")
    with pytest.raises(CommandError, match="1 leftovers could not be removed"):
        cleanup()
    assert rows.stored_files(root) == {"outputs/gen-0/1/stays.png"}
