"""What a job that waits is told: what it waits for now, without asking once for each job."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from jobs import queue, transitions, waiting, windows
from jobs.models import GpuLease, Job, Slot, Status
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process

NOW = timezone.now()


class Long(FakeKind):
    makes_room = True
    doing = "training"


class Short(FakeKind):
    doing = "generating"
    engine_name = "ComfyUI"


@pytest.fixture
def places(db: None, settings) -> Iterator[tuple[Slot, Slot]]:
    """A slot for long runs and one for short ones, with two claims, on one GPU that they may not share."""
    settings.GPU_SHARING = "exclusive"
    long, short = Long(name="long"), Short(name="short", claims_per_slot=2)
    long.title, short.title = "Training", "Generation"
    with registered(long, short):
        yield make_slot(long), make_slot(short)


def told(job: Job) -> str:
    job.refresh_from_db()
    return waiting.messages([job])[job.pk]


def claim(slot: Slot) -> transitions.Claim:
    claimed = queue.claim_next(slot.kind, slot.name, this_process())
    assert claimed is not None
    return claimed


def older(kind: str, minutes: int, **fields) -> Job:
    return make_job(kind, created_at=NOW - timedelta(minutes=minutes), **fields)


def test_a_generation_names_the_training_that_has_the_gpu_and_how_far_it_is(places) -> None:
    long, _ = places
    training = older("long", 5)
    claim(long)
    Job.objects.filter(pk=training.pk).update(progress=45)
    assert told(make_job("short")) == f"Waiting for the GPU: {training.pk} is training (45 %)"


def test_a_training_names_the_generation_at_work_and_counts_those_before_it(places) -> None:
    _, short = places
    older("short", 9)
    at_work = older("short", 8)
    for minutes in (7, 6):
        older("short", minutes)
    training = older("long", 5)
    older("short", 4)
    claim(short), claim(short)
    Job.objects.exclude(pk=at_work.pk).update(status=Status.QUEUED)
    Job.objects.filter(pk=at_work.pk).update(status=Status.RUNNING, progress=10)
    assert told(training) == f"Waiting for the GPU: {at_work.pk} is generating (10 %); 2 generations go first"


def test_only_the_next_of_a_kind_counts_what_goes_first(places) -> None:
    older("short", 9)
    next_one, later = older("long", 5), older("long", 4)
    assert told(next_one) == "Waiting for the GPU: 1 generation goes first"
    assert told(later) == "Waiting in the queue"


def test_in_a_window_a_training_counts_the_younger_ones_that_go_first(places) -> None:
    long, _ = places
    training = older("long", 5)
    older("short", 4), older("short", 3)
    assert told(training) == "Waiting in the queue"
    windows.begin(long.gpu)
    assert told(training) == "Waiting for the GPU: 2 generations go first"
    assert told(make_job("short", priority=1)) == "Waiting in the queue"


def test_a_job_behind_its_own_kind_is_told_of_the_one_that_runs(places) -> None:
    long, _ = places
    first = older("long", 5)
    claim(long)
    assert told(make_job("long")) == f"Waiting in the queue: {first.pk} is training (0 %)"


def test_an_engine_that_is_still_being_stopped_is_named(places) -> None:
    long, _ = places
    training = older("long", 5)
    claim(long)
    transitions.cancel(Job.objects.filter(pk=training.pk), "cancelled")
    assert told(make_job("short")) == f"Waiting for the GPU: {training.pk} is stopping"


def test_where_kinds_share_the_gpu_nobody_waits_for_another(places, settings) -> None:
    settings.GPU_SHARING = "shared"
    long, _ = places
    older("long", 5)
    claim(long)
    assert told(make_job("short")) == "Waiting in the queue"


def test_a_training_on_another_gpu_is_in_nobodys_way(places) -> None:
    long, _ = places
    elsewhere = GpuLease.objects.create(host="there", gpu="0")
    Slot.objects.filter(pk=long.pk).update(gpu=elsewhere)
    older("long", 5)
    claim(long)
    older("long", 4)
    assert told(make_job("short")) == "Waiting in the queue"


def test_a_kind_that_cannot_start_is_not_counted_as_going_first(places) -> None:
    older("short", 9)
    training = older("long", 5)
    queue.set_paused("short", is_paused=True)
    assert told(training) == "Waiting in the queue"


@pytest.mark.parametrize(
    ("hindrance", "message"),
    [
        ({"heartbeat_at": Now() - timedelta(minutes=5)}, "No worker is up"),
        ({"away_since": Now()}, "ComfyUI is down"),
        ({"paused_until": Now() + timedelta(minutes=5)}, "ComfyUI fails, and is left alone for a while"),
    ],
)
def test_a_slot_that_takes_no_work_is_the_reason(places, hindrance: dict, message: str) -> None:
    _, short = places
    Slot.objects.filter(pk=short.pk).update(**hindrance)
    assert told(make_job("short")) == message


def test_a_paused_queue_is_the_reason_before_all_others(places) -> None:
    long, _ = places
    older("long", 5)
    claim(long)
    queue.set_paused("short", is_paused=True)
    assert told(make_job("short")) == "Paused by an operator"


def test_a_start_time_is_told(places) -> None:
    at = (timezone.now() + timedelta(hours=1)).replace(microsecond=0)
    assert told(make_job("short", run_after=at)) == f"Starts at {at:%Y-%m-%d %H:%M:%S} UTC"


def test_what_became_of_the_last_attempt_stays_in_front(places) -> None:
    job = make_job("short", message="Trying again: The GPU fell off.")
    assert told(job) == "Trying again: The GPU fell off."
    queue.set_paused("short", is_paused=True)
    assert told(job) == "Trying again: The GPU fell off. Paused by an operator"


def test_a_job_that_does_not_wait_is_told_nothing(places, django_assert_num_queries) -> None:
    long, _ = places
    running = older("long", 5)
    claim(long)
    running.refresh_from_db()
    with django_assert_num_queries(0):
        assert waiting.messages([running, Job(id="done", kind="long", status=Status.COMPLETED)]) == {}


def test_many_jobs_take_as_many_queries_as_one(places, django_assert_num_queries) -> None:
    jobs = [older(kind, 5) for kind in ("long", "short") for _ in range(5)]
    with django_assert_num_queries(7):
        waiting.messages([jobs[0], jobs[-1]])
    with django_assert_num_queries(7):
        assert len(waiting.messages(jobs)) == 10
