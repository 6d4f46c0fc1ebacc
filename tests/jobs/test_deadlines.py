"""Deadlines are kept by whoever lives, start times by the queue, and the length of the queue by whoever asks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.db import close_old_connections, connection, transaction
from django.utils import timezone

from jobs import admission, deadlines, lease, queue, reaper, runner, tasks, transitions, waiting, worker
from jobs.admission import QueueFull
from jobs.events import Artifact, Finished, Progress, Tick
from jobs.models import Attempt, Job, Slot, Status
from jobs.retrying import retry_job
from jobs.schedule import Scheduled
from tests.conftest import wait_until
from tests.jobs import admin_rows
from tests.jobs.fakes import FakeKind, make_job, make_slot, this_process
from tests.jobs.test_reaper import dead_process
from tests.jobs.test_runner import events_of

pytestmark = pytest.mark.django_db(transaction=True)

NEVER = 3600


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    reaper._seen.clear()


def ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def ahead(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)


def claim(slot: Slot) -> transitions.Claim | None:
    return queue.claim_next(slot.kind, slot.name, this_process())


# --- deadlines ---


def test_a_waiting_job_past_its_deadline_is_cancelled_in_words_and_others_stay(slot: Slot) -> None:
    late, early, none = make_job(deadline_at=ago(1)), make_job(deadline_at=ahead(60)), make_job()
    tasks.sweep()
    late.refresh_from_db()
    assert (late.status, late.failure_cause) == (Status.CANCELLED, "deadline")
    assert late.message == f"Cancelled: not finished by its deadline, {late.deadline_at:%Y-%m-%d %H:%M:%S} UTC"
    assert events_of(late)[-1][2]["message"] == late.message
    assert {Job.objects.get(pk=job.pk).status for job in (early, none)} == {Status.QUEUED}


def test_any_worker_keeps_the_deadlines_while_nobody_sweeps(slot: Slot) -> None:
    late = make_job(deadline_at=ago(1))
    worker._keep_once()
    assert Job.objects.get(pk=late.pk).status == Status.CANCELLED


def test_a_job_is_never_started_past_its_deadline(slot: Slot) -> None:
    late = make_job(deadline_at=ago(0.1))
    assert claim(slot) is None
    assert transitions.claim(late, slot, this_process(), starts_at_once=True) is None
    assert not Attempt.objects.exists()


def test_an_overdue_job_lets_others_go_first_and_has_no_place(slot: Slot) -> None:
    late, next_one = make_job(deadline_at=ago(1), priority=9), make_job()
    assert queue.positions([late, next_one]) == {next_one.pk: 1}
    claimed = claim(slot)
    assert claimed is not None
    assert claimed.job_id == next_one.pk


def test_a_running_job_is_stopped_at_its_deadline_and_keeps_what_it_made(slot: Slot, fake_kind, tmp_path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"picture")

    def overdue(job: Job, claim: transitions.Claim) -> None:
        # What the run read when it began, as no other process keeps the deadline here.
        job.deadline_at = ago(0.1)
        wait_until(lambda: Job.objects.get(pk=job.pk).is_terminal, what="the end")

    made = Artifact(type="output", name="a.png", path=picture, details={"index": 0, "seed": 1})
    fake_kind.script = [Progress(step=4, total=10), made, overdue, Tick(), Finished()]
    job = make_job(deadline_at=ahead(NEVER))
    runner.execute(claim(slot))
    job.refresh_from_db()
    assert (job.status, job.failure_cause, job.holder, job.crashes) == (Status.CANCELLED, "deadline", None, 0)
    assert fake_kind.was_closed
    assert [row.name for row in job.artifacts.all()] == ["a.png"]
    assert job.attempts.get().outcome == "cancelled"


def test_a_run_that_ends_in_the_last_moment_stays_completed(slot: Slot) -> None:
    job = make_job(deadline_at=ahead(NEVER))
    claimed = claim(slot)
    job.refresh_from_db()
    assert transitions.complete(claimed, **transitions.UNCLAIMED)
    assert not deadlines.cancel_at_deadline(job)
    assert Job.objects.get(pk=job.pk).status == Status.COMPLETED


def test_the_deadline_of_a_job_whose_worker_died_is_kept_by_the_others(slot: Slot) -> None:
    job = make_job(deadline_at=ahead(NEVER))
    queue.claim_next(slot.kind, slot.name, dead_process())
    Job.objects.update(deadline_at=ago(1))
    assert deadlines.cancel_overdue() == 1
    assert reaper.reap() == 1
    job.refresh_from_db()
    assert (job.status, job.holder, job.attempts.get().outcome) == (Status.CANCELLED, None, "cancelled")
    assert deadlines.cancel_overdue() == 0


# --- start times ---


def scheduled(**wanted: object) -> Job:
    return Scheduled.model_validate(wanted).put_on(make_job())


def test_a_job_with_a_start_time_waits_for_it_and_says_so(slot: Slot) -> None:
    start = datetime.fromisoformat("2096-11-23T22:00:00+00:00")
    job = make_job(run_after=start, order={"start_after": "2096-11-23T22:00:00.000Z"})
    assert claim(slot) is None
    assert waiting.messages([job]) == {job.pk: "Starts at 2096-11-23 22:00 UTC at the earliest"}
    assert queue.positions([job]) == {}


def test_the_sweep_rings_for_a_job_whose_time_has_come(fake_kind: FakeKind) -> None:
    slot = make_slot(fake_kind)
    job = make_job(run_after=ahead(NEVER))
    before = admin_rows.count_rings("fake")
    tasks.sweep()
    assert admin_rows.count_rings("fake") == before
    Job.objects.update(run_after=ago(0.1))
    tasks.sweep()
    assert admin_rows.count_rings("fake") == before + 1
    claimed = claim(slot)
    assert claimed is not None
    assert claimed.job_id == job.pk


def test_a_pause_that_another_clock_wrote_keeps_nobody_waiting_but_a_start_time_does(slot: Slot) -> None:
    paused = make_job(attempt=1, run_after=ahead(86_400))
    make_job(attempt=1, run_after=ahead(55)), make_job(run_after=ahead(86_400))
    claimed = claim(slot)
    assert claimed is not None
    assert claimed.job_id == paused.pk
    assert not Job.objects.waiting("fake").exists()


def test_a_time_in_the_past_is_now_and_both_count_from_acceptance() -> None:
    job = scheduled(start_after="2001-01-01T00:00:00Z", deadline_seconds=90)
    assert job.run_after is None
    assert job.deadline_at == job.created_at + timedelta(seconds=90)
    assert job.order["start_after"] == "2001-01-01T00:00:00.000Z"


def test_a_retry_has_a_schedule_of_its_own() -> None:
    ended = {"status": Status.FAILED, "deadline_at": ago(9), "order": {"count": 1, "start_after": "2001-01-01"}}
    again = retry_job(admin_rows.new_job("gen-1", **ended))
    assert (again.deadline_at, again.run_after) == (None, None)
    assert "start_after" not in again.order


# --- a full queue ---


def submit(number: int) -> str:
    with transaction.atomic():
        return queue.submit(Job(id=f"fake-{number:04d}", kind="fake")).pk


def test_a_full_queue_refuses_and_takes_again_what_has_room(slot: Slot, settings) -> None:
    settings.QUEUE_LIMIT = 2
    submit(1), submit(2)
    with pytest.raises(QueueFull) as refused:
        submit(3)
    assert str(refused.value.detail) == "The queue is full: 2 fakes wait already. Try again in 60 seconds."
    assert claim(slot) is not None
    assert submit(4)


@pytest.mark.usefixtures("fake_kind")
def test_jobs_that_may_not_start_yet_count_and_those_of_other_kinds_do_not(settings) -> None:
    settings.QUEUE_LIMIT = 2
    make_job(run_after=ahead(NEVER))
    make_job("other"), make_job("other")
    assert submit(8)
    with pytest.raises(QueueFull):
        submit(9)


@pytest.mark.usefixtures("fake_kind")
def test_without_a_limit_any_number_may_wait(settings) -> None:
    settings.QUEUE_LIMIT = 0
    assert len([submit(number) for number in range(5)]) == 5


@pytest.mark.usefixtures("fake_kind")
def test_simultaneous_requests_do_not_fill_the_queue_beyond_its_limit(settings) -> None:
    settings.QUEUE_LIMIT, at_a_time = 5, 8
    together = threading.Barrier(at_a_time)

    def try_to_submit(number: int) -> bool:
        try:
            together.wait(30)
            return bool(submit(number))
        except QueueFull:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(at_a_time) as pool:
        taken = sum(pool.map(try_to_submit, range(at_a_time)))
    close_old_connections()
    # Where writers take turns it is exact; elsewhere each may miss the others of its very moment.
    assert taken == Job.objects.count()
    assert 5 <= taken <= (5 if connection.vendor == "sqlite" else at_a_time)


@pytest.mark.usefixtures("stopped_clock")
def test_the_pace_of_the_last_starts_tells_when_to_come_again(slot: Slot) -> None:
    assert admission.seconds_to_next_start("fake") == 60
    job = make_job()
    for number in range(4):
        Attempt.objects.create(job=job, number=number, slot=slot.name, claimed_at=ago(402 - 100 * number))
    # The time since the last start counts too.
    assert admission.seconds_to_next_start("fake") == 101
    Attempt.objects.update(claimed_at=ago(1_000_000))
    assert admission.seconds_to_next_start("fake") == 3600
