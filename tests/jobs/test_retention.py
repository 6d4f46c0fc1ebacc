"""Ended jobs go after a time, or beyond a number: with their files, and never what is alive or a LoRA."""

import json
import os
import time
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from characters.models import Lora
from jobs import deleting, retention, tidying
from jobs.models import Job, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "tmp")
    return rows.use_empty_storage(settings, tmp_path)


def cleanup(*arguments: str) -> str:
    output = StringIO()
    call_command("cleanup", *arguments, stdout=output)
    return output.getvalue()


def ended(job_id: str, *, days_ago: float, status: Status = Status.COMPLETED, **fields: Any) -> Job:
    moment = timezone.now() - timedelta(days=days_ago)
    return rows.new_job(job_id, status=status, created_at=moment, completed_at=moment, **fields)


def remaining() -> set[str]:
    return set(Job.objects.values_list("pk", flat=True))


def test_without_an_age_or_a_number_no_job_goes() -> None:
    ended("gen-1", days_ago=1000)
    cleanup()
    assert remaining() == {"gen-1"}


@pytest.mark.parametrize("age", ["30d", "720h", "4w"])
def test_jobs_go_that_ended_longer_ago(age: str) -> None:
    ended("gen-old", days_ago=31)
    ended("gen-new", days_ago=27)
    assert "1 jobs (" in cleanup("--older-than", age)
    assert remaining() == {"gen-new"}


def test_the_newest_of_each_kind_stay_however_old_they_are() -> None:
    for days in (40, 41, 42):
        ended(f"gen-{days}", days_ago=days)
        ended(f"train-{days}", days_ago=days, kind="training")
    cleanup("--older-than", "30d", "--keep", "1")
    assert remaining() == {"gen-40", "train-40"}


def test_a_number_alone_is_enough() -> None:
    for days in (1, 2, 3):
        ended(f"gen-{days}", days_ago=days)
    cleanup("--keep", "2")
    assert remaining() == {"gen-1", "gen-2"}


def test_only_the_kinds_and_states_that_are_asked_for_go() -> None:
    for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        ended(f"gen-{status}", days_ago=40, status=status)
        ended(f"train-{status}", days_ago=40, status=status, kind="training")
    cleanup("--older-than", "30d", "--kind", "generation", "--status", "failed,cancelled")
    assert remaining() == {"gen-completed", "train-completed", "train-failed", "train-cancelled"}


def test_live_jobs_and_those_whose_engine_may_be_at_work_stay() -> None:
    slot, long_ago = rows.new_slot(), timezone.now() - timedelta(days=99)
    rows.new_job("gen-waiting", created_at=long_ago)
    rows.running_job("gen-running", slot, created_at=long_ago)
    rows.running_job("gen-stopping", slot, status=Status.CANCELLED, completed_at=long_ago)
    cleanup("--older-than", "1h", "--keep", "0")
    assert remaining() == {"gen-waiting", "gen-running", "gen-stopping"}


def test_a_job_stays_that_another_one_goes_on_from() -> None:
    ended("train-1", days_ago=40, kind="training", status=Status.FAILED)
    point = {"job_id": "train-1", "step": 100, "key": "checkpoints/train-1/1/c.safetensors", "lora_id": None}
    rows.new_job("train-2", kind="training", order={"resume_from": point})
    assert "1 jobs stay" in cleanup("--older-than", "30d")
    assert remaining() == {"train-1", "train-2"}


def test_a_job_that_ended_just_now_stays_because_its_worker_may_not_be_done() -> None:
    ended("gen-1", days_ago=0)
    cleanup("--keep", "0")
    assert remaining() == {"gen-1"}


@pytest.mark.django_db(transaction=True)
def test_log_and_files_go_with_the_job_and_the_lora_stays(root: Path) -> None:
    job = ended("train-1", days_ago=40, kind="training", log_key="logs/train-1.1.jsonl", output_key="loras/c/v1.st")
    rows.publish(job, "step_00100.png", kind="sample")
    for key in (job.log_key, job.output_key):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(b"0123456789")
    lora = Lora.objects.create(key=job.output_key, name="v1", size_bytes=10, sha256=rows.SHA, job_id=job.pk)
    assert "1 jobs (16 B) removed." in cleanup("--older-than", "30d")
    assert rows.stored_files(root) == {lora.key}
    assert Lora.objects.get().pk == lora.pk


def test_a_dry_run_names_the_jobs_and_their_bytes_and_touches_nothing(root: Path) -> None:
    rows.publish(ended("gen-1", days_ago=40), "gen-1-0.png")
    said = cleanup("--older-than", "30d", "--dry-run")
    assert "6 B  gen-1  (an ended generation)" in said
    assert "1 jobs (6 B) could be removed." in said
    assert (remaining(), len(rows.stored_files(root))) == ({"gen-1"}, 1)


def test_machines_read_json() -> None:
    ended("gen-1", days_ago=40)
    told = json.loads(cleanup("--older-than", "30d", "--json"))["jobs"]
    assert told == {
        "count": 1,
        "size_bytes": 0,
        "kept": 0,
        "items": [{"name": "gen-1", "size_bytes": 0, "why": "an ended generation"}],
    }


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--older-than", "30"], "number of hours, days or weeks"),
        (["--older-than", "0h"], "at least 1h"),
        (["--keep", "-1"], "at least 0"),
        (["--older-than", "30d", "--status", "running"], "none of completed, failed, cancelled"),
        (["--older-than", "30d", "--kind", "painting"], "none of"),
        (["--kind", "generation"], "--older-than or --keep"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_in_words(arguments: list[str], why: str) -> None:
    ended("gen-1", days_ago=40)
    with pytest.raises(CommandError, match=why):
        cleanup(*arguments)
    assert remaining() == {"gen-1"}


def test_many_jobs_are_found_a_few_at_a_time_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "IDS_AT_ONCE", 3)
    moment = timezone.now() - timedelta(days=40)
    # All at one moment, as after an import: the id decides then.
    for number in range(11):
        rows.new_job(f"gen-{number:02}", status=Status.COMPLETED, completed_at=moment)
    rule = retention.Rule(kind="generation", keep=2)
    assert list(retention.find_expired(rule)) == [f"gen-{number:02}" for number in range(9)]


class Died(BaseException):
    """The process ended here."""


@pytest.mark.django_db(transaction=True)
def test_a_death_between_row_and_files_leaves_only_what_the_next_run_removes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rows.publish(ended("gen-1", days_ago=40), "gen-1-0.png")
    two_hours_ago = time.time() - 7200
    os.utime(root / file.key, (two_hours_ago, two_hours_ago))

    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as context:
        context.setattr(deleting, "_discard_files", die)
        with pytest.raises(Died):
            cleanup("--older-than", "30d")
    assert (remaining(), rows.stored_files(root)) == (set(), {file.key})
    assert "1 leftovers" in cleanup("--older-than", "30d")
    assert rows.stored_files(root) == set()


def test_by_itself_nothing_goes_unless_the_settings_say_so(settings: Any) -> None:
    ended("gen-1", days_ago=4000)
    settings.RETENTION = {"generation": (0.0, 0.0), "training": (0.0, 0.0)}
    tidying.expire_jobs()
    assert remaining() == {"gen-1"}


@pytest.mark.parametrize(
    ("bounds", "stay"),
    [((30, 0), {"gen-1", "gen-29"}), ((0, 1), set()), ((30, 5), {"gen-1", "gen-29", "gen-31"})],
)
def test_by_itself_goes_what_the_settings_bound(settings: Any, bounds: tuple[int, int], stay: set[str]) -> None:
    settings.RETENTION = {"generation": bounds}
    just_ended = {"gen-now", "gen-then"}
    for job_id in just_ended:
        ended(job_id, days_ago=0)
    for days in (1, 29, 31, 60):
        ended(f"gen-{days}", days_ago=days)
    ended("train-60", days_ago=60, kind="training")
    tidying.expire_jobs()
    assert remaining() == stay | just_ended | {"train-60"}
