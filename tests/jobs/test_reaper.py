"""Claims of dead workers end, and those of living ones never do."""

import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from isengard.settings import REAP_SECONDS
from jobs import identity, queue, reaper, surprises, transitions, worker
from jobs.models import Job, Slot, Status
from tests.jobs.fakes import FakeKind, make_job, this_process

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    reaper._seen.clear()
    surprises._told.clear()


def dead_process() -> dict:
    """Return the identity of a process of this host that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    dead = identity.of_process(process.pid).as_json()
    process.communicate()
    return dead


def on_another_host() -> dict:
    return {**this_process(), "host": "elsewhere", "boot_id": "other", "pid_namespace": "other"}


def claimed_by(worker: dict, slot: Slot, **fields) -> Job:
    job = make_job(**fields)
    queue.claim_next("fake", slot.name, worker)
    job.refresh_from_db()
    return job


class Clock:
    """The reaper's own clock, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(reaper.time, "monotonic", lambda: self.now)

    def listen(self, seconds: float) -> int:
        """Let the time pass while the reaper looks as often as it does; return how many it ended."""
        looks = [REAP_SECONDS] * int(seconds // REAP_SECONDS) + [seconds % REAP_SECONDS]
        return sum(map(self._look_after, looks))

    def _look_after(self, seconds: float) -> int:
        self.now += seconds
        return reaper.reap()


def test_a_job_whose_worker_process_died_goes_back_to_the_queue_at_once(slot: Slot) -> None:
    job = claimed_by(dead_process(), slot)
    assert reaper.reap() == 1
    job.refresh_from_db()
    assert (job.status, job.crashes, job.token, job.holder, job.gpu) == (Status.QUEUED, 1, "", None, None)
    assert job.log_lines.filter(event="job.reaped").exists()


def test_a_pid_that_somebody_else_has_now_is_not_taken_for_the_worker(slot: Slot) -> None:
    job = claimed_by({**this_process(), "start_ticks": 1}, slot)
    assert reaper.reap() == 1
    assert Job.objects.get(pk=job.pk).status == Status.QUEUED


def test_a_host_that_was_booted_anew_has_no_worker_of_before(slot: Slot) -> None:
    claimed_by({**this_process(), "boot_id": "an earlier boot"}, slot)
    assert reaper.reap() == 1


def test_a_living_worker_keeps_its_job(slot: Slot) -> None:
    job = claimed_by(this_process(), slot)
    assert reaper.reap() == 0
    assert Job.objects.get(pk=job.pk).token == job.token


def test_reaping_twice_changes_nothing_more(slot: Slot) -> None:
    job = claimed_by(dead_process(), slot)
    assert (reaper.reap(), reaper.reap()) == (1, 0)
    assert Job.objects.get(pk=job.pk).crashes == 1


def test_the_third_death_without_a_checkpoint_ends_the_job_with_the_reason(slot: Slot) -> None:
    job = claimed_by(dead_process(), slot, crashes=2)
    reaper.reap()
    job.refresh_from_db()
    assert (job.status, job.crashes, job.holder) == (Status.FAILED, 3, None)
    assert job.error_message.startswith("Gave up after 3 crashes without a new checkpoint in between")
    assert "its worker process died" in job.error_message


def test_a_cancelled_job_of_a_dead_worker_only_loses_its_holder(slot: Slot) -> None:
    job = claimed_by(dead_process(), slot)
    transitions.cancel(Job.objects.filter(pk=job.pk), "Fake cancelled")
    assert reaper.reap() == 1
    job.refresh_from_db()
    assert (job.status, job.holder, job.crashes) == (Status.CANCELLED, None, 0)


def test_nothing_moves_while_the_dead_workers_engine_is_still_there(slot: Slot, fake_kind: FakeKind) -> None:
    job = claimed_by(dead_process(), slot)
    fake_kind.leftover_is_gone = False
    assert reaper.reap() == 0
    assert Job.objects.get(pk=job.pk).holder is not None
    fake_kind.leftover_is_gone = True
    assert reaper.reap() == 1


def test_a_silent_worker_elsewhere_loses_its_job_after_a_minute_of_the_reapers_clock(slot, monkeypatch) -> None:
    clock = Clock(monkeypatch)
    Slot.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    job = claimed_by(on_another_host(), slot)
    assert reaper.reap() == 0
    assert clock.listen(59) == 0
    assert clock.listen(2) == 1
    assert Job.objects.get(pk=job.pk).status == Status.QUEUED


def test_a_heartbeat_starts_the_minute_anew_whatever_the_rows_clock_says(slot, monkeypatch) -> None:
    clock = Clock(monkeypatch)
    Slot.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    job = claimed_by(on_another_host(), slot)
    reaper.reap()
    clock.listen(58)
    Job.objects.filter(pk=job.pk).update(heartbeat=job.heartbeat + 1, heartbeat_at="2001-01-01T00:00Z")
    assert clock.listen(59) == 0


def test_a_host_whose_worker_lives_is_left_to_reap_for_itself(slot: Slot, monkeypatch) -> None:
    clock = Clock(monkeypatch)
    claimed_by(on_another_host(), slot)
    Slot.objects.update(worker=on_another_host())
    reaper.reap()
    assert clock.listen(120) == 0


def test_a_worker_that_was_replaced_on_its_slot_is_judged_by_its_silence(slot: Slot, monkeypatch) -> None:
    clock = Clock(monkeypatch)
    claimed_by(on_another_host(), slot)
    Slot.objects.update(worker={**on_another_host(), "pid_namespace": "of the new container"})
    assert reaper.reap() == 0
    assert clock.listen(61) == 1


def test_a_worker_that_comes_back_while_it_is_judged_keeps_its_job(slot: Slot, fake_kind: FakeKind) -> None:
    job = claimed_by(dead_process(), slot)

    def beat(_: Job) -> bool:
        Job.objects.filter(pk=job.pk).update(heartbeat=job.heartbeat + 1)
        return True

    fake_kind.stop_leftover = beat
    assert reaper.reap() == 0
    assert Job.objects.get(pk=job.pk).token == job.token


def test_a_reaper_that_has_not_looked_for_a_while_takes_nobody_for_silent(slot: Slot, monkeypatch) -> None:
    clock = Clock(monkeypatch)
    claimed_by(on_another_host(), slot)
    Slot.objects.update(worker={})
    assert reaper.reap() == 0
    # Its own loop failed before it came to this, as everybody's did: nobody could beat either.
    clock.now += 90
    assert reaper.reap() == 0
    assert clock.listen(59) == 0
    assert clock.listen(2) == 1


def test_a_row_that_cannot_be_judged_keeps_no_other_waiting_and_is_told_of_once(slot: Slot, caplog) -> None:
    broken, other = claimed_by(dead_process(), slot), make_job()
    Job.objects.filter(pk=broken.pk).update(kind="of a later release", slot="elsewhere")
    queue.claim_next("fake", slot.name, dead_process())
    assert (reaper.reap(), reaper.reap()) == (1, 0)
    other.refresh_from_db()
    assert (other.status, other.crashes) == (Status.QUEUED, 1)
    (told,) = [record for record in caplog.records if broken.pk in record.message]
    assert told.exc_info


def test_whatever_goes_wrong_while_slots_are_kept_the_next_round_comes(slot: Slot, monkeypatch, caplog) -> None:
    monkeypatch.setattr(worker.connection, "close", lambda: None)
    monkeypatch.setattr(reaper, "reap", lambda: {}["never heard of"])
    worker._keep_once()
    worker._keep_once()
    (told,) = [record for record in caplog.records if "never heard of" in record.message]
    assert told.exc_info
