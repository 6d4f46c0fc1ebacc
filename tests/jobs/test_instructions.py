"""What people ask of a running engine: passed on once, to the run that is alive, and never lost without a word."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from jobs import instructions, lease, queue, runner, transitions
from jobs.errors import EngineFailed
from jobs.events import Controls, Finished, Obeyed, Tick
from jobs.log import lines
from jobs.models import Instruction, Job, Slot, Status
from tests.jobs.fakes import FakeKind, make_job, make_slot, this_process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)


@pytest.fixture
def slot(fake_kind: FakeKind) -> Slot:
    return make_slot(fake_kind)


def claim(slot: Slot) -> transitions.Claim:
    claimed = queue.claim_next(slot.kind, slot.name, this_process())
    assert claimed is not None
    return claimed


def log_of(job: Job) -> str:
    return "\n".join(json.loads(line)["message"] for line in lines(Job.objects.get(pk=job.pk)))


def beats_of(job: Job) -> int:
    return Job.objects.get(pk=job.pk).heartbeat


def until(condition: Callable[[], bool]) -> Iterator[Tick]:
    """Tick, as an engine that waits, until the condition holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it was not asked in time"
        time.sleep(0.01)
        yield Tick()


def test_what_is_asked_reaches_the_running_engine_once(slot: Slot, fake_kind: FakeKind) -> None:
    taken = []

    def script() -> Iterator:
        yield lambda job, _: instructions.give(job, "save")
        yield from until(lambda: fake_kind.controls.take_save())
        taken.append(list(Instruction.objects.values_list("verb", "taken_at")))
        beats = beats_of(job) + 3
        yield from until(lambda: beats_of(job) >= beats)
        taken.append((fake_kind.controls.take_save(), fake_kind.controls.take_sample()))
        yield from (Obeyed(verb="save"), Finished())

    job = make_job()
    fake_kind.script = script()
    runner.execute(claim(slot))
    [[(verb, taken_at)], again] = taken
    assert (verb, again) == ("save", (False, False))
    assert taken_at is not None
    assert not Instruction.objects.exists()
    assert "not done" not in log_of(job)


def test_two_who_ask_before_it_is_taken_ask_once(slot: Slot) -> None:
    job = make_job()
    claim(slot)
    for verb in ("save", "save", "sample"):
        instructions.give(job, verb)
    assert sorted(Instruction.objects.values_list("verb", flat=True)) == ["sample", "save"]


@pytest.mark.parametrize("status", ["pending", "queued", "completed", "failed", "cancelled"])
def test_only_a_running_job_can_be_asked(fake_kind: FakeKind, status: str) -> None:
    job = make_job(status=status, completed_at=None if status in ("pending", "queued") else "2026-01-01T00:00:00Z")
    with pytest.raises(instructions.NotRunning, match=f"Cannot save: the job is {status}"):
        instructions.give(job, "save")
    assert not Instruction.objects.exists()


def test_a_lost_claim_takes_nothing(slot: Slot) -> None:
    job = make_job()
    lost = claim(slot)
    instructions.give(job, "save")
    transitions.give_back(lost.live(), message="its worker died")
    present = claim(slot)
    theirs, ours = Controls(), Controls()
    instructions.take(lost, theirs)
    instructions.take(present, ours)
    assert (theirs.take_save(), ours.take_save()) == (False, True)


def test_what_a_dead_attempt_took_is_told_and_not_done_by_the_next(slot: Slot, fake_kind: FakeKind) -> None:
    def dies() -> Iterator:
        yield lambda job, _: instructions.give(job, "sample")
        yield from until(lambda: fake_kind.controls.take_sample())
        yield EngineFailed("killed", is_retryable=True)

    fake_kind.script = dies()
    job = make_job()
    runner.execute(claim(slot))
    Job.objects.filter(pk=job.pk).update(run_after=None)
    asked = []

    def look(*_: object) -> None:
        asked.append((fake_kind.controls.take_sample(), Instruction.objects.exists()))

    fake_kind.script = [look, Finished()]
    runner.execute(claim(slot))
    assert asked == [(False, False)]
    assert "was not done before the attempt ended: sample" in log_of(job)


def test_what_nobody_took_is_done_by_the_next_attempt(slot: Slot, fake_kind: FakeKind) -> None:
    def script() -> Iterator:
        yield from until(lambda: fake_kind.controls.take_save())
        yield Finished()

    job = make_job()
    died = claim(slot)
    instructions.give(job, "save")
    transitions.give_back(died.live(), message="its worker died")
    fake_kind.script = script()
    runner.execute(claim(slot))
    assert Job.objects.get(pk=job.pk).status == Status.COMPLETED


def test_what_came_too_late_is_told(slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 60.0)
    fake_kind.script = [lambda job, _: instructions.give(job, "save"), Finished()]
    job = make_job()
    runner.execute(claim(slot))
    assert not Instruction.objects.exists()
    assert "was not done before the attempt ended: save" in log_of(job)


def test_a_run_that_yields_goes_back_to_its_place_and_says_why(slot: Slot, fake_kind: FakeKind) -> None:
    def script() -> Iterator:
        yield lambda job, _: instructions.give(job, "yield")
        yield from until(lambda: fake_kind.controls.is_draining)

    fake_kind.script = script()
    job = make_job()
    runner.execute(claim(slot))
    job.refresh_from_db()
    assert (job.status, job.crashes, job.token, job.run_after) == (Status.QUEUED, 0, "", None)
    assert job.message == "Paused for waiting generations; goes on at step 0"
    assert not Instruction.objects.exists()
