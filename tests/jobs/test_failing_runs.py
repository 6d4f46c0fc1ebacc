"""Runs that fail: what is tried again by itself, after which pause, and in which words the rest ends."""

import errno
import os
from datetime import datetime, timedelta

import pytest

from jobs import lease, queue
from jobs.errors import EngineFailed
from jobs.events import Log
from jobs.models import Slot, Status
from tests.jobs.fakes import FakeKind, this_process
from tests.jobs.test_runner import log_of, run, ticks_for_ever, wait_for_cancel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)


@pytest.mark.parametrize(("crashes", "pause_seconds"), [(0, 5), (1, 20)])
def test_a_crash_waits_before_it_is_tried_again_and_longer_the_second_time(
    slot: Slot, fake_kind: FakeKind, stopped_clock: datetime, crashes: int, pause_seconds: int
) -> None:
    fake_kind.script = [EngineFailed("The trainer was killed.", is_retryable=True)]
    job = run(slot, crashes=crashes)
    assert job.run_after == stopped_clock + timedelta(seconds=pause_seconds)
    assert queue.claim_next(slot.kind, slot.name, this_process()) is None


def test_what_would_only_fail_again_is_not_tried_again(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [EngineFailed("Out of memory.", cause="out_of_memory")]
    job = run(slot)
    assert (job.status, job.attempt, job.failure_cause) == (Status.FAILED, 1, "out_of_memory")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_fails_the_job_in_words(slot: Slot, fake_kind: FakeKind, number: int) -> None:
    fake_kind.script = [OSError(number, os.strerror(number))]
    job = run(slot)
    assert (job.status, job.failure_cause) == (Status.FAILED, "disk_full")
    assert "The disk is full" in (job.error_message or "")


def test_another_error_of_a_file_is_not_said_to_be_a_full_disk(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [OSError(errno.EIO, "I/O error")]
    assert "disk is full" not in (run(slot).error_message or "")


def test_what_an_engine_says_while_it_is_closed_is_in_the_log(slot: Slot, fake_kind: FakeKind) -> None:
    def script():
        yield lambda job, claim: fake_kind.controls.say_last(Log(message="SIGINT was enough"))
        yield wait_for_cancel
        yield from ticks_for_ever()

    fake_kind.script = script()
    assert "SIGINT was enough" in [line["message"] for line in log_of(run(slot))]
