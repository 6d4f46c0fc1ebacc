"""The order of what waits, changed by hand while other jobs run."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs import ordering, queue
from jobs.models import Job, Slot, Status
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def queued(slot: Slot) -> list[str]:
    """Four jobs that wait, a to d by age, the oldest with a priority, behind one that runs."""
    make_job(id="at-work", priority=9)
    queue.claim_next(slot.kind, slot.name, this_process())
    for number, name in enumerate("abcd"):
        make_job(id=name, created_at=NOW + timedelta(minutes=number), priority=5 if name == "a" else 0)
    return order()


def order() -> list[str]:
    places = queue.positions(list(Job.objects.all()))
    return sorted(places, key=lambda job_id: places[job_id])


def command(*arguments: str) -> list[str]:
    output = StringIO()
    call_command("queue", *arguments, stdout=output)
    return output.getvalue().splitlines()


def test_jobs_are_moved_to_the_front_in_the_order_given(queued: list[str]) -> None:
    assert queued == ["a", "b", "c", "d"]
    ordering.move_to_front(["d", "c"])
    assert order() == ["d", "c", "a", "b"]


def test_jobs_are_moved_to_the_back_in_the_order_given(queued: list[str]) -> None:
    ordering.move_to_back(["b", "a"])
    assert order() == ["c", "d", "b", "a"]


def test_a_priority_goes_before_age(queued: list[str]) -> None:
    ordering.prioritise(["c", "d"], 5)
    assert order() == ["a", "c", "d", "b"]
    ordering.prioritise(["a"], -1)
    assert order() == ["c", "d", "b", "a"]


def test_what_was_moved_to_the_front_is_claimed_next(queued: list[str], slot: Slot) -> None:
    ordering.move_to_front(["d"])
    Job.objects.filter(pk="at-work").delete()
    claim = queue.claim_next(slot.kind, slot.name, this_process())
    assert claim is not None
    assert claim.job_id == "d"


def test_a_job_that_may_not_start_yet_is_passed_too(queued: list[str]) -> None:
    later = make_job(id="later", priority=7, run_after=NOW + timedelta(hours=1))
    ordering.move_to_front(["d"])
    assert Job.objects.get(pk="d").priority > later.priority


def test_the_order_of_other_kinds_stays_as_it_is(queued: list[str]) -> None:
    other = FakeKind(name="other")
    with registered(other):
        make_slot(other)
        make_job("other", id="elsewhere", priority=50)
        ordering.move_to_front(["d"])
    assert Job.objects.get(pk="d").priority == 6


def test_only_what_waits_can_be_moved_and_then_nothing_is(queued: list[str]) -> None:
    make_job(id="ended", status=Status.CANCELLED, completed_at=NOW)
    Job.objects.filter(pk="b").update(token="claimed")
    with pytest.raises(ordering.NotMovable) as refused:
        ordering.move_to_front(["d", "at-work", "ended", "b", "unknown"])
    for reason in (
        "at-work is running",
        "ended is cancelled",
        "b lies in its engine's queue already",
        "Job unknown not found",
        "Only a job that waits has a place in the queue.",
    ):
        assert reason in str(refused.value)
    assert Job.objects.get(pk="d").priority == 0


@pytest.mark.parametrize("priority", [1_000_001, -1_000_001])
def test_a_priority_beyond_all_measure_is_refused(queued: list[str], priority: int) -> None:
    with pytest.raises(ordering.NotMovable, match=f"{priority} does not"):
        ordering.prioritise(["a"], priority)


def test_nothing_goes_past_the_utmost_priority_of_the_column(queued: list[str]) -> None:
    Job.objects.filter(pk="a").update(priority=2**31 - 1)
    with pytest.raises(ordering.NotMovable, match="cannot go past"):
        ordering.move_to_front(["b"])


def test_the_commands_say_where_the_jobs_are_now(queued: list[str]) -> None:
    assert command("front", "c") == ["c has priority 6: number 1 of the waiting fake jobs."]
    assert command("back", "c") == ["c has priority -1: number 4 of the waiting fake jobs."]
    assert command("prioritise", "c", "d", "--priority", "1") == [
        "c has priority 1: number 2 of the waiting fake jobs.",
        "d has priority 1: number 3 of the waiting fake jobs.",
    ]
    with pytest.raises(CommandError, match="at-work is running"):
        command("front", "at-work")
