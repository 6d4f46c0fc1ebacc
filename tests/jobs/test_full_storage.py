"""A storage that takes no more files: what has to wait for room waits, and keeps nothing else from its work."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from jobs import log, losses, reaper, worker
from jobs.models import Job, LossPoint, Slot, Status
from tests.jobs import admin_rows as rows
from tests.jobs.fakes import FakeKind, make_job
from tests.jobs.test_runner import run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return rows.use_empty_storage(settings, tmp_path)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The operating system finds no room when a file is to be written for good."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    return monkeypatch


def ended_with_a_log(job_id: str) -> Job:
    job = rows.new_job(job_id, status=Status.FAILED)
    log.write(job.pk, "It failed", event="job.failed")
    LossPoint.objects.create(job=job, step=1, loss=0.5)
    return job


def archive_all() -> None:
    losses.archive_ended()
    log.archive_ended()


def test_logs_and_curves_wait_for_room_leave_nothing_half_written_and_are_then_stored(
    root: Path, full: pytest.MonkeyPatch
) -> None:
    ended_with_a_log("gen-1")
    archive_all()
    assert rows.stored_files(root) == set()
    full.undo()
    archive_all()
    job = Job.objects.get()
    assert b"It failed" in b"".join(log.lines(job))
    assert [point.loss for point in losses.points_of(job)] == [0.5]
    assert (job.log_lines.count(), job.loss_points.count()) == (0, 0)


def test_an_archive_that_cannot_be_read_keeps_no_other_log_from_its_own(root: Path) -> None:
    ended_with_a_log("gen-1")
    Job.objects.update(log_key="logs/gone.jsonl")
    ended_with_a_log("gen-2")
    archive_all()
    assert b"It failed" in b"".join(log.lines(Job.objects.get(pk="gen-2")))


@pytest.mark.usefixtures("full")
def test_dead_workers_are_found_although_no_log_can_be_stored(slot: Slot, fake_kind: FakeKind) -> None:
    dead = {"worker": {**slot.worker, "pid": 2**22 + 1}, "slot": slot.name, "token": "t"}
    for number in range(2):
        job = make_job(status=Status.CANCELLED, completed_at="2026-01-01T00:00:00Z", holder=dead, token="t")
        log.write(job.pk, f"Cancelled {number}", event="job.cancelled")
    assert reaper.reap() == 2
    assert not Job.objects.held().exists()


def test_a_worker_goes_on_telling_that_it_lives_when_a_file_cannot_be_written(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(reaper, "reap", refuse)
    monkeypatch.setattr(worker.connection, "close", lambda: None)
    worker._keep_once()


@pytest.mark.usefixtures("no_beats")
def test_a_database_without_room_fails_the_job_in_the_same_words(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [OperationalError("database or disk is full")]
    job = run(slot)
    assert (job.status, job.failure_cause) == (Status.FAILED, "disk_full")
