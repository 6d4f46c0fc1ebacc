"""Each move that the table allows happens, each other one does not, and the database refuses what would be a lie."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from jobs import transitions
from jobs.models import LIVE, TERMINAL, Job, Slot, Status
from tests.jobs.fakes import make_job, this_process

pytestmark = pytest.mark.django_db

MOVES = {
    Status.RUNNING: lambda claim: transitions.start(claim),
    Status.COMPLETED: lambda claim: transitions.complete(claim),
    Status.FAILED: lambda claim: transitions.fail(claim.live(), "why"),
    Status.CANCELLED: lambda claim: transitions.cancel(Job.objects.filter(pk=claim.job_id), "cancelled"),
    Status.QUEUED: lambda claim: transitions.give_back(claim.live(), message="again"),
}


def claimed_in(state: Status) -> transitions.Claim:
    ended = {"completed_at": timezone.now()} if state in TERMINAL else {}
    job = make_job(status=state, token="t" * 32, attempt=1, **ended)
    return transitions.Claim(job.pk, job.kind, 1, job.token, "slot")


@pytest.mark.parametrize("target", list(MOVES))
@pytest.mark.parametrize("state", list(Status))
def test_a_job_moves_only_where_the_table_says(state: Status, target: Status) -> None:
    claim = claimed_in(state)
    is_allowed = target in transitions.ALLOWED.get(state, frozenset())
    # A claimed row that is still pending is a claim that was made before its bell was heard.
    if state == Status.PENDING and target == Status.COMPLETED:
        is_allowed = False
    moved = MOVES[target](claim)
    assert moved is is_allowed
    assert Job.objects.get(pk=claim.job_id).status == (target if is_allowed else state)


def test_a_write_with_an_old_token_changes_nothing() -> None:
    claim = claimed_in(Status.RUNNING)
    Job.objects.filter(pk=claim.job_id).update(token="n" * 32, attempt=2)
    assert not transitions.complete(claim)
    assert not transitions.give_back(claim.live(), message="again")
    assert Job.objects.get(pk=claim.job_id).status == Status.RUNNING


def test_a_completed_job_is_at_a_hundred_percent_and_at_its_last_step() -> None:
    claim = claimed_in(Status.RUNNING)
    transitions.complete(claim, current_step=3, progress=30)
    job = Job.objects.get(pk=claim.job_id)
    assert (job.progress, job.current_step, job.stage) == (100, 10, "completed")
    assert job.completed_at is not None


def test_the_first_start_is_kept_when_a_job_starts_again(slot: Slot) -> None:
    job = make_job()
    first = transitions.claim(job, slot, this_process(), starts_at_once=True)
    started_at = Job.objects.get(pk=job.pk).started_at
    transitions.give_back(first.live(), message="again")
    job.refresh_from_db()
    transitions.claim(job, slot, this_process(), starts_at_once=True)
    assert Job.objects.get(pk=job.pk).started_at == started_at


@pytest.mark.parametrize(
    "lie",
    [
        {"status": "sleeping"},
        {"progress": 101},
        {"current_step": 11},
        {"status": Status.RUNNING, "token": ""},
        {"holder": {"worker": {}}, "token": ""},
        {"status": Status.COMPLETED, "completed_at": None},
        {"status": Status.RUNNING, "token": "t", "completed_at": timezone.now()},
    ],
)
def test_the_database_refuses_a_row_that_would_be_a_lie(lie: dict) -> None:
    job = make_job()
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**lie)


def test_every_state_is_either_live_or_terminal() -> None:
    assert set(LIVE) | set(TERMINAL) == set(Status)
    assert not set(LIVE) & set(TERMINAL)
