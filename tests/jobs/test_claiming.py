"""Which job is claimed next, by whom, and that no two ever get the same."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from jobs import bell, queue, transitions
from jobs.models import GpuLease, Job, Slot, Status
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process


def claim(slot: Slot) -> str | None:
    found = queue.claim_next(slot.kind, slot.name, this_process())
    return found.job_id if found else None


def end(job_id: str) -> None:
    row = Job.objects.get(pk=job_id)
    done = transitions.Claim(row.pk, row.kind, row.attempt, row.token, row.slot)
    transitions.complete(done, **transitions.UNCLAIMED)


def test_the_oldest_job_goes_first_and_priority_before_age(slot: Slot) -> None:
    now = timezone.now()
    make_job(id="new", created_at=now)
    make_job(id="old", created_at=now - timedelta(hours=1))
    make_job(id="urgent", created_at=now, priority=5)
    order = []
    for _ in range(3):
        order.append(claim(slot))
        end(order[-1])
    assert order == ["urgent", "old", "new"]


def test_a_pending_job_is_claimed_like_a_queued_one(slot: Slot) -> None:
    job = make_job(status=Status.PENDING)
    assert claim(slot) == job.pk


def test_a_slot_takes_no_more_than_its_capacity(slot: Slot) -> None:
    make_job(), make_job()
    assert claim(slot) is not None
    assert claim(slot) is None


def test_a_paused_kind_is_not_claimed_and_goes_on_when_resumed(slot: Slot) -> None:
    job = make_job()
    queue.set_paused("fake", is_paused=True)
    assert claim(slot) is None
    assert Job.objects.get(pk=job.pk).status == Status.QUEUED
    queue.set_paused("fake", is_paused=False)
    assert claim(slot) == job.pk


def test_a_job_that_must_not_start_yet_is_left_alone(slot: Slot) -> None:
    make_job(run_after=timezone.now() + timedelta(minutes=1))
    assert claim(slot) is None


def test_a_kind_that_starts_in_its_engine_stays_queued_after_the_claim(db: None) -> None:
    kind = FakeKind(starts_at_claim=False)
    with registered(kind):
        job = make_job()
        claim(make_slot(kind))
        job.refresh_from_db()
    assert (job.status, job.attempt, job.started_at) == (Status.QUEUED, 1, None)
    assert job.token


@pytest.mark.django_db(transaction=True)
def test_racing_workers_claim_each_job_exactly_once() -> None:
    kind = FakeKind(claims_per_slot=100)
    with registered(kind):
        slots = [make_slot(kind, name=f"slot-{number}") for number in range(4)]
        Job.objects.bulk_create([Job(id=f"race-{n:03d}", kind="fake", status=Status.QUEUED) for n in range(60)])

        def claim_all(slot: Slot) -> list[str]:
            try:
                return list(iter(lambda: claim(slot), None))
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            claimed = Counter(job for jobs in pool.map(claim_all, slots) for job in jobs)
    assert len(claimed) == 60
    assert set(claimed.values()) == {1}
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


@pytest.fixture
def rivals(db: None, settings):
    """Two kinds whose slots share one GPU that only one of them may have at a time."""
    settings.GPU_SHARING = "exclusive"
    one, other = FakeKind(name="one"), FakeKind(name="other", claims_per_slot=2)
    with registered(one, other):
        yield make_slot(one), make_slot(other)


def test_a_gpu_belongs_to_one_kind_at_a_time(rivals) -> None:
    one, other = rivals
    first = make_job("one")
    make_job("other")
    assert claim(one) == first.pk
    assert claim(other) is None
    end(first.pk)
    assert claim(other) is not None


def test_two_claims_of_one_kind_share_their_gpu(rivals) -> None:
    _, other = rivals
    make_job("other"), make_job("other")
    assert claim(other)
    assert claim(other)


def test_a_better_job_of_the_other_kind_gets_the_gpu_first(rivals) -> None:
    one, other = rivals
    now = timezone.now()
    older = make_job("one", created_at=now - timedelta(minutes=1))
    make_job("other", created_at=now)
    assert claim(other) is None
    assert claim(one) == older.pk


def test_a_kind_without_a_living_worker_holds_nobody_up(rivals) -> None:
    one, other = rivals
    make_job("one", created_at=timezone.now() - timedelta(minutes=1))
    younger = make_job("other")
    Slot.objects.filter(pk=one.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert claim(other) == younger.pk


def test_a_gpu_is_free_once_its_holder_is_gone(rivals) -> None:
    one, _ = rivals
    job = make_job("one")
    claim(one)
    transitions.cancel(Job.objects.filter(pk=job.pk), "cancelled")
    lease = GpuLease.objects.get(pk=one.gpu_id)
    assert lease.jobs.held().count() == 1
    transitions.release(Job.objects.filter(pk=job.pk))
    assert lease.jobs.held().count() == 0


def test_positions_count_from_one_in_the_order_of_claiming(slot: Slot) -> None:
    now = timezone.now()
    later = make_job(created_at=now)
    sooner = make_job(created_at=now - timedelta(minutes=1))
    ended = make_job(status=Status.CANCELLED, completed_at=now)
    assert queue.positions([later, sooner, ended]) == {sooner.pk: 1, later.pk: 2}


def test_places_are_counted_for_the_whole_queue_and_only_what_was_asked_is_fetched(
    slot: Slot, django_assert_num_queries
) -> None:
    now = timezone.now()
    jobs = [Job(id=f"p-{n:03d}", kind="fake", status=Status.QUEUED, created_at=now, priority=n % 2) for n in range(60)]
    Job.objects.bulk_create(jobs)
    with django_assert_num_queries(1) as asked:
        assert queue.positions([jobs[0], jobs[1], jobs[58]]) == {"p-000": 31, "p-001": 1, "p-058": 60}
    assert "ROW_NUMBER" in asked[0]["sql"]


def test_a_job_that_may_not_start_yet_has_no_place(slot: Slot) -> None:
    assert queue.positions([make_job(run_after=timezone.now() + timedelta(minutes=1))]) == {}


@pytest.mark.parametrize("hindrance", ["away_since", "paused_until"])
def test_a_kind_whose_engine_is_away_or_failing_holds_nobody_up(rivals, hindrance: str) -> None:
    one, other = rivals
    make_job("one", created_at=timezone.now() - timedelta(minutes=1))
    younger = make_job("other")
    Slot.objects.filter(pk=one.pk).update(**{hindrance: timezone.now() + timedelta(minutes=1)})
    assert claim(other) == younger.pk


def test_a_job_that_its_only_rival_slot_could_not_do_holds_nobody_up(rivals) -> None:
    one, other = rivals
    make_slot(FakeKind(name="one"), name="elsewhere", gpu="9")
    make_job("one", created_at=timezone.now() - timedelta(minutes=1), failed_slots=[one.pk])
    younger = make_job("other")
    assert claim(other) == younger.pk


@pytest.mark.django_db(transaction=True)
def test_a_submitted_job_is_queued_once_its_bell_was_heard(fake_kind: FakeKind) -> None:
    job = queue.submit(Job(id="fake-1", kind="fake"))
    assert job.status == Status.QUEUED
    assert not bell.is_silent("fake")


@pytest.mark.django_db(transaction=True)
def test_the_sweep_rings_only_where_a_row_waits_and_a_slot_is_idle(fake_kind: FakeKind) -> None:
    make_slot(fake_kind)
    queue.sweep()
    assert bell.is_silent("fake")
    job = make_job(status=Status.PENDING)
    queue.sweep()
    assert not bell.is_silent("fake")
    assert Job.objects.get(pk=job.pk).status == Status.QUEUED


@pytest.mark.django_db(transaction=True)
def test_the_sweep_does_not_ring_twice_or_for_a_paused_or_busy_kind(fake_kind: FakeKind) -> None:
    slot = make_slot(fake_kind)
    make_job(), make_job()
    claim(slot)
    queue.sweep()
    assert bell.is_silent("fake")
    queue.set_paused("fake", is_paused=True)
    queue.sweep()
    assert bell.is_silent("fake")
