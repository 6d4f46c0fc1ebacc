"""Attempts: a row from the claim until nothing of its engine is left, and never two at a time."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from jobs import attempts, bundle, facts, lease, queue, reaper, runner, transitions
from jobs.cancelling import cancel_job
from jobs.errors import EngineFailed, EngineUnavailable
from jobs.events import Facts, Finished, Tick
from jobs.models import Attempt, Job, Slot, Status
from tests.jobs.fakes import FakeKind, make_job, make_slot, this_process
from tests.jobs.test_reaper import dead_process

pytestmark = pytest.mark.django_db(transaction=True)

OPEN = ""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(runner, "RETRY_CRASHED_SECONDS", (0, 0))
    reaper._seen.clear()


def claim(slot: Slot, *, worker: dict | None = None) -> transitions.Claim:
    claimed = queue.claim_next(slot.kind, slot.name, worker or this_process())
    assert claimed is not None
    return claimed


def run(slot: Slot) -> Job:
    claimed = claim(slot)
    runner.execute(claimed)
    return Job.objects.get(pk=claimed.job_id)


def story(job: Job) -> list[tuple[int, str, str]]:
    return [(row.number, row.outcome, row.reason) for row in job.attempts.all()]


def assert_one_after_the_other(job: Job) -> None:
    rows = list(job.attempts.all())
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    ends = [row.ended_at for row in rows]
    assert all(end is not None for end in ends)
    assert all(end <= later.claimed_at for end, later in zip(ends, rows[1:], strict=False))


def test_every_claim_is_told_and_how_it_ended(slot: Slot, fake_kind: FakeKind) -> None:
    job = make_job()
    for ending in (EngineUnavailable("ComfyUI is away."), EngineFailed("Killed.", is_retryable=True), Finished()):
        fake_kind.script = [ending]
        run(slot)
        Job.objects.update(run_after=None)
    assert story(job) == [(1, "given_back", "ComfyUI is away."), (2, "crashed", "Killed."), (3, "completed", "")]
    assert_one_after_the_other(job)
    assert {row.worker["pid"] for row in job.attempts.all()} == {this_process()["pid"]}


def test_a_failure_is_told_with_its_reason(slot: Slot, fake_kind: FakeKind) -> None:
    make_job()
    fake_kind.script = [EngineFailed("Out of memory.")]
    assert story(run(slot)) == [(1, "failed", "Out of memory.")]


def test_a_cancel_ends_its_attempt_when_the_engine_is_gone_and_not_before(slot: Slot, fake_kind: FakeKind) -> None:
    job = make_job()
    fake_kind.script = [lambda job, claim: cancel_job(job), Tick(), Tick()]
    fake_kind.leftover_is_gone = False
    run(slot)
    assert story(job) == [(1, OPEN, "")]
    assert transitions.release(Job.objects.filter(pk=job.pk))
    assert story(job) == [(1, "cancelled", "Fake cancelled")]
    assert_one_after_the_other(job)


def test_a_failed_job_whose_engine_stays_keeps_its_attempt_open(slot: Slot, fake_kind: FakeKind) -> None:
    job = make_job()
    fake_kind.script = [EngineFailed("no memory")]
    fake_kind.leftover_is_gone = False
    run(slot)
    assert story(job) == [(1, OPEN, "")]
    assert transitions.release(Job.objects.filter(pk=job.pk))
    assert story(job) == [(1, "failed", "no memory")]


def test_the_attempt_of_a_dead_worker_crashed(slot: Slot) -> None:
    job = make_job()
    claim(slot, worker=dead_process())
    assert reaper.reap() == 1
    assert story(job) == [(1, "crashed", "its worker process died")]
    claim(slot)
    assert story(job)[1] == (2, OPEN, "")


def test_whoever_lost_the_race_for_a_row_ends_nothing(slot: Slot) -> None:
    job = make_job()
    first = claim(slot)
    assert transitions.give_back(first.live(), message="again")
    second = claim(slot)
    assert not transitions.give_back(first.live(), message="late", crashes=1)
    assert not transitions.complete(first, **transitions.UNCLAIMED)
    assert story(job) == [(1, "given_back", "again"), (2, OPEN, "")]
    assert transitions.complete(second, **transitions.UNCLAIMED)


def test_a_holder_is_cleared_together_with_the_attempts_end_or_not_at_all(slot: Slot, monkeypatch) -> None:
    job = make_job()

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(attempts, "end", fail)
    first = claim(slot)
    with pytest.raises(ZeroDivisionError):
        transitions.give_back(first.live(), message="again")
    assert Job.objects.get(pk=job.pk).token == first.token
    assert story(job) == [(1, OPEN, "")]


def test_an_attempt_that_nobody_ended_is_over_at_the_next_claim(slot: Slot) -> None:
    job = make_job()
    claim(slot)
    # As a release did that knew no attempts.
    Job.objects.filter(pk=job.pk).update(status=Status.QUEUED, **transitions.UNCLAIMED)
    claim(slot)
    assert [outcome for _, outcome, _ in story(job)] == ["given_back", OPEN]


def test_a_claim_and_a_beat_write_no_more_than_they_must(slot: Slot, django_assert_num_queries) -> None:
    make_job()
    claimed = claim(slot)
    with django_assert_num_queries(1):
        claimed.live().update(heartbeat=2)
    with django_assert_num_queries(5) as asked:
        transitions.give_back(claimed.live(), message="again")
    written = [query["sql"] for query in asked if query["sql"].startswith("UPDATE")]
    assert len(written) == 2


def test_the_step_an_attempt_went_on_from_is_told(slot: Slot) -> None:
    job = make_job()
    claimed = claim(slot)
    facts.record(claimed, job, Facts(facts={"start_step": 250}))
    assert job.attempts.get().from_step == 250


@pytest.fixture
def told(slot: Slot, fake_kind: FakeKind) -> Job:
    """A job that crashed at one place and went on at another."""
    job = make_job()
    make_slot(fake_kind, name="fake@lab-7.example:8188", gpu="7")
    begin = timezone.now() - timedelta(minutes=1)
    worker = {"host": "lab-7", "pid": 4711}
    for number, name in enumerate(("fake@lab-7.example:8188", "fake-slot", "fake@lab-7.example:8188"), 1):
        Attempt.objects.create(
            job=job, number=number, slot=name, worker=worker, claimed_at=begin, ended_at=begin, outcome="crashed"
        )
    return job


def test_clients_are_told_of_attempts_without_machines(told: Job, client: Client) -> None:
    answer = client.get(f"/api/jobs/{told.pk}/attempts")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["job_id"], body["total_count"]) == (told.pk, 3)
    assert [attempt["place"] for attempt in body["attempts"]] == [1, 2, 1]
    assert body["attempts"][0] | {"outcome": "crashed", "reason": None, "from_step": None} == body["attempts"][0]
    assert b"lab-7" not in answer.content
    assert client.get("/api/jobs/fake-none/attempts").status_code == 404


def test_the_debug_bundle_tells_the_same_and_operators_see_the_machines(told: Job, capsys) -> None:
    described = bundle.described(told)
    assert [attempt["place"] for attempt in described["attempts"]] == [1, 2, 1]
    assert "lab-7" not in json.dumps(described)
    call_command("jobs", "show", told.pk, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["attempts"][0]["slot"] == "fake@lab-7.example:8188"
    assert shown["attempts"][0]["worker"]["host"] == "lab-7"
