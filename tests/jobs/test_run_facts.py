"""What an engine tells of its attempt stays with the job."""

import pytest

from jobs import describing, facts, queue, runner, transitions
from jobs.events import Facts, Finished
from jobs.lease import ClaimEnded
from jobs.models import Job, Slot
from tests.jobs.fakes import FakeKind, make_job, this_process

pytestmark = pytest.mark.django_db(transaction=True)


def claim_of(job: Job, slot: Slot) -> transitions.Claim:
    claim = queue.claim_next(job.kind, slot.name, this_process())
    job.refresh_from_db()
    return claim


def test_each_attempts_facts_are_kept_apart_and_in_order(slot: Slot, fake_kind: FakeKind) -> None:
    job = make_job(facts={"10": {"seed": 7}, "9": {"seed": 8}}, attempt=10)
    fake_kind.script = [Facts(facts={"seed": 1}), Facts(facts={"hash": "a"}), Finished()]
    runner.execute(claim_of(job, slot))
    job.refresh_from_db()
    assert job.facts == {"9": {"seed": 8}, "10": {"seed": 7}, "11": {"seed": 1, "hash": "a"}}
    assert [told["attempt"] for told in facts.by_attempt(job)] == [9, 10, 11]
    assert facts.by_attempt(job)[-1] == {"attempt": 11, "seed": 1, "hash": "a"}
    assert describing.full(job)["facts"] == job.facts


def test_a_run_that_lost_its_job_writes_nothing_into_it(slot: Slot) -> None:
    job = make_job()
    claim = claim_of(job, slot)
    Job.objects.update(token="somebody else's")
    with pytest.raises(ClaimEnded):
        facts.record(claim, job, Facts(facts={"seed": 1}))
    job.refresh_from_db()
    assert job.facts == {}
