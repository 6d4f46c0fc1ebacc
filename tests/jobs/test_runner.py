"""How a run ends: what the row, the log, the artifacts and the stream say afterwards."""

import json
import threading
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError

from jobs import lease, queue, runner, transitions, worker_state
from jobs.cancelling import cancel_job
from jobs.errors import EngineFailed, EngineUnavailable
from jobs.events import Artifact, Finished, Holding, Log, Progress, Started, Tick
from jobs.files import workspace
from jobs.log import archive_ended, lines
from jobs.models import Job, JobLogLine, Slot, Status
from jobs.progress.writer import connection, stream_key
from tests.conftest import wait_until
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)


class LeaseClock:
    """Time as a lease has it, moved by hand: nothing that a slow machine does takes any of it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def lease_clock(monkeypatch: pytest.MonkeyPatch) -> LeaseClock:
    clock = LeaseClock()
    monkeypatch.setattr(lease, "time", clock)
    return clock


def is_beating(job: Job) -> bool:
    """Whether the thread that renews the job's claim is there: it ends as soon as it gives the engine up."""
    return any(thread.name == f"lease-{job.pk}" for thread in threading.enumerate())


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RETRY_CRASHED_SECONDS", (0, 0))


@pytest.fixture
def slot(fake_kind: FakeKind) -> Slot:
    return make_slot(fake_kind)


def run(slot: Slot, **fields) -> Job:
    job = make_job(slot.kind, **fields)
    runner.execute(queue.claim_next(slot.kind, slot.name, this_process()))
    job.refresh_from_db()
    return job


def log_of(job: Job) -> list[dict]:
    return [json.loads(line) for line in lines(job)]


def events_of(job: Job) -> list[tuple[str, str, dict]]:
    entries = connection().xrange(stream_key(job.pk))
    return [(i.decode(), entry[b"event"].decode(), json.loads(entry[b"data"])) for i, entry in entries]


def artifact(tmp_path: Path, name: str = "a.png", **fields) -> Artifact:
    path = tmp_path / name
    path.write_bytes(b"picture " + name.encode())
    return Artifact(**{"type": "output", "name": name, "path": path, "details": {"index": 0, "seed": 1}} | fields)


def wait_for_cancel(job: Job, claim: transitions.Claim) -> None:
    cancel_job(Job.objects.get(pk=job.pk))


def idle() -> list[Tick]:
    return [Tick()] * 3


def ticks_for_ever():
    while True:
        yield Tick()


def test_a_finished_run_completes_the_job_and_frees_the_slot(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [Progress(stage="training", step=4, total=10, loss=0.5), Finished()]
    job = run(slot)
    assert (job.status, job.progress, job.current_step, job.error_message) == (Status.COMPLETED, 100, 10, None)
    assert (job.holder, job.token, job.gpu, job.current_loss) == (None, "", None, 0.5)
    assert not workspace(job.pk).exists()
    assert fake_kind.was_closed


@pytest.mark.parametrize(
    ("last", "reason"), [(Finished(), "job.completed"), (EngineFailed("No GPU."), "job.failed")], ids=["well", "badly"]
)
def test_whoever_is_told_of_the_end_finds_the_whole_log(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch, last: object, reason: str
) -> None:
    known: list[list[str]] = []

    def look(ended: Job) -> None:
        known.append([entry["event"] for entry in log_of(ended)])

    monkeypatch.setattr(runner, "announce_end", look)
    fake_kind.script = [Log(message="the engine's last words", event="engine.console"), last]
    run(slot)
    assert [events[-2:] for events in known] == [["engine.console", reason]]


@pytest.mark.parametrize("ending", ["complete", "fail"])
def test_whoever_sees_the_end_in_the_row_finds_all_that_the_engine_told(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    known: list[list[str]] = []
    end = getattr(transitions, ending)

    def look_and_end(*arguments: object, **fields: object) -> bool:
        known.append(list(JobLogLine.objects.values_list("event", flat=True)))
        return end(*arguments, **fields)

    monkeypatch.setattr(transitions, ending, look_and_end)
    last = Finished() if ending == "complete" else EngineFailed("No GPU.")
    fake_kind.script = [Log(message="the engine's last words", event="engine.console"), last]
    run(slot)
    assert [events[-1] for events in known] == ["engine.console"]


def test_the_stream_ends_with_complete_after_the_last_progress(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [Progress(step=1, total=10), Progress(step=9, total=10), Finished()]
    job = run(slot)
    told = events_of(job)
    assert [name for _, name, _ in told] == ["progress", "progress", "complete"]
    assert [i for i, _, _ in told] == ["1-1", "1-2", "2-0"]
    assert told[1][2]["current_step"] == 9
    assert told[2][2] | {"status": "completed", "message": "Fake complete", "progress": 100} == told[2][2]


def test_a_failing_engine_fails_the_job_in_its_own_words(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [Progress(step=3, total=10), EngineFailed("Out of memory; lower the resolution.")]
    job = run(slot)
    assert (job.status, job.error_message) == (Status.FAILED, "Out of memory; lower the resolution.")
    assert (job.holder, job.progress) == (None, 30)
    assert events_of(job)[-1][2]["message"] == "Fake failed: Out of memory; lower the resolution."
    assert any(line["level"] == "ERROR" and "Out of memory" in line["message"] for line in log_of(job))


def test_an_engine_that_ends_without_a_result_has_failed(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = idle()
    assert run(slot).error_message == "The engine ended without a result."


def test_a_bug_in_a_run_fails_the_job_without_telling_internals(slot: Slot, fake_kind: FakeKind, caplog) -> None:
    fake_kind.script = [ZeroDivisionError("secret detail")]
    job = run(slot)
    assert job.status == Status.FAILED
    assert "ZeroDivisionError" in job.error_message
    assert "secret detail" not in job.error_message
    assert "secret detail" in caplog.text


@pytest.mark.usefixtures("no_pauses")
def test_what_can_be_tried_again_is_and_the_third_death_ends_it(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [EngineFailed("The trainer was killed.", is_retryable=True)]
    job = run(slot)
    assert (job.status, job.crashes, job.token, job.holder) == (Status.QUEUED, 1, "", None)
    for _ in range(2):
        runner.execute(queue.claim_next(slot.kind, slot.name, this_process()))
    job.refresh_from_db()
    assert (job.status, job.attempt, job.crashes) == (Status.FAILED, 3, 3)
    assert "Gave up after 3 crashes" in job.error_message
    assert "The trainer was killed." in job.error_message


def test_a_checkpoint_starts_the_count_of_deaths_anew(slot: Slot, fake_kind: FakeKind, tmp_path: Path) -> None:
    checkpoint = artifact(tmp_path, "c.safetensors", type="checkpoint", step=5)
    fake_kind.script = [checkpoint, EngineFailed("killed", is_retryable=True)]
    job = run(slot, crashes=2)
    assert (job.status, job.crashes) == (Status.QUEUED, 1)


def test_an_engine_that_is_away_costs_the_job_nothing_but_time(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not over when the last line looks, and no longer than any pause may be.
    monkeypatch.setattr(runner, "RETRY_UNAVAILABLE_SECONDS", 50)
    fake_kind.script = [EngineUnavailable("ComfyUI does not answer.")]
    job = run(slot)
    assert (job.status, job.crashes, job.message) == (Status.QUEUED, 0, "ComfyUI does not answer.")
    assert job.run_after is not None
    assert queue.claim_next(slot.kind, slot.name, this_process()) is None


def test_a_cancel_stops_the_engine_and_clears_the_holder(slot: Slot, fake_kind: FakeKind) -> None:
    def script():
        yield wait_for_cancel
        yield from ticks_for_ever()

    fake_kind.script = script()
    job = run(slot)
    assert (job.status, job.holder, job.gpu) == (Status.CANCELLED, None, None)
    assert fake_kind.was_closed
    assert events_of(job)[-1][:2] == ("2-0", "complete")


def test_an_engine_that_does_not_stop_keeps_its_slot_until_it_is_gone(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [wait_for_cancel, *idle()]
    fake_kind.leftover_is_gone = False
    job = run(slot)
    assert job.status == Status.CANCELLED
    assert job.holder is not None
    assert queue.claim_next(slot.kind, slot.name, this_process()) is None


def test_a_failed_job_whose_engine_does_not_stop_keeps_its_slot(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [EngineFailed("no memory")]
    fake_kind.leftover_is_gone = False
    job = run(slot)
    assert job.status == Status.FAILED
    assert job.holder is not None


def test_a_loss_that_is_no_number_is_left_out(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [Progress(step=1, total=10, loss=0.5), Progress(step=2, total=10, loss=float("nan")), Finished()]
    job = run(slot)
    assert job.current_loss == 0.5
    assert all(data.get("loss") in (None, 0.5) and None not in data.values() for _, _, data in events_of(job))


def test_nothing_is_published_after_a_cancel(slot: Slot, fake_kind: FakeKind, tmp_path: Path) -> None:
    before, after = artifact(tmp_path, "before.png"), artifact(tmp_path, "after.png")
    fake_kind.script = [before, wait_for_cancel, after, Finished()]
    job = run(slot)
    assert [row.name for row in job.artifacts.all()] == ["before.png"]
    assert job.status == Status.CANCELLED
    assert not default_storage.exists(f"outputs/{job.pk}/1/after.png")


def test_a_run_that_lost_its_claim_writes_nothing_more(slot: Slot, fake_kind: FakeKind, tmp_path: Path) -> None:
    def lose(job: Job, claim: transitions.Claim) -> None:
        transitions.give_back(claim.live(), message="reaped", crashes=1)

    fake_kind.script = [lose, artifact(tmp_path), Finished()]
    job = run(slot)
    assert (job.status, job.message, job.crashes) == (Status.QUEUED, "reaped", 1)
    assert not job.artifacts.exists()
    assert fake_kind.was_closed


def test_a_lost_run_cannot_send_events_past_a_cancel(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [wait_for_cancel, Progress(step=5, total=10), Finished()]
    job = run(slot)
    assert events_of(job)[-1][1] == "complete"


def test_a_drain_gives_the_job_back_at_no_cost(slot: Slot, fake_kind: FakeKind, monkeypatch) -> None:
    def drain(job: Job, claim: transitions.Claim) -> None:
        monkeypatch.setattr(worker_state._draining, "is_set", lambda: True)

    fake_kind.script = [drain, Tick()]
    job = run(slot)
    assert (job.status, job.crashes, job.holder) == (Status.QUEUED, 0, None)
    assert fake_kind.controls.is_draining


def test_a_kind_that_starts_in_its_engine_runs_from_started_on() -> None:
    kind = FakeKind(starts_at_claim=False)
    seen = []

    def look(job: Job, claim: transitions.Claim) -> None:
        seen.append(Job.objects.get(pk=job.pk).status)

    with registered(kind):
        kind.script = [look, Started(), look, Finished()]
        job = run(make_slot(kind))
    assert seen == [Status.QUEUED, Status.RUNNING]
    assert job.started_at is not None


def test_what_the_engine_holds_is_on_the_row_while_it_runs(slot: Slot, fake_kind: FakeKind) -> None:
    held = []
    fake_kind.script = [
        Holding(identity={"pid": 4711}),
        lambda job, claim: held.append(Job.objects.get(pk=job.pk).holder),
        Finished(),
    ]
    run(slot)
    assert held[0]["engine"] == {"pid": 4711}
    assert held[0]["worker"]["pid"] == this_process()["pid"]


def test_the_heartbeat_writes_progress_to_the_row(slot: Slot, fake_kind: FakeKind) -> None:
    seen = []

    def watch(job: Job, claim: transitions.Claim) -> None:
        row = Job.objects.filter(pk=job.pk, current_step=7)
        seen.append(wait_until(row.first, what="step 7 on the row"))

    fake_kind.script = [Progress(step=7, total=10, stage="training"), watch, Finished()]
    run(slot)
    assert (seen[0].progress, seen[0].stage) == (70, "training")
    assert seen[0].heartbeat > 1


def test_progress_never_goes_back_within_an_attempt(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [Progress(step=8, total=10), Progress(step=2, total=10), Finished()]
    job = run(slot)
    assert [data["current_step"] for _, name, data in events_of(job) if name == "progress"] == [8, 8]


def test_an_engine_without_a_sign_of_life_loses_its_claim(slot: Slot, fake_kind: FakeKind, clock: LeaseClock) -> None:
    def be_silent(job: Job, claim: transitions.Claim) -> None:
        before = Job.objects.get(pk=job.pk).heartbeat
        wait_until(lambda: Job.objects.get(pk=job.pk).heartbeat > before, what="a beat")
        clock.now += FakeKind.stall_seconds + 1
        wait_until(lambda: not is_beating(job), what="the heart to stop")

    fake_kind.script = [be_silent, Tick(), Finished()]
    job = run(slot)
    assert job.status == Status.RUNNING
    assert job.holder is None or job.token


def test_a_database_that_blinks_at_the_verdict_is_waited_for(slot: Slot, fake_kind: FakeKind, monkeypatch) -> None:
    real, calls = transitions.complete, []

    def blink(claim, **fields):
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("database is locked")
        return real(claim, **fields)

    monkeypatch.setattr(transitions, "complete", blink)
    assert run(slot).status == Status.COMPLETED
    assert len(calls) == 2


def test_the_log_tells_the_story_in_order_and_moves_into_a_file(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [Log(message="Loading", fields={"gb": 12}), Finished()]
    job = run(slot)
    told = log_of(job)
    assert [line["event"] for line in told] == ["job.claimed", "engine.console", "job.completed"]
    assert told[1]["fields"] == {"gb": 12}
    assert job.log_key
    assert not job.log_lines.exists()


def test_only_the_newest_checkpoints_stay(slot: Slot, fake_kind: FakeKind, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(FakeKind, "kept_checkpoints", lambda self, job: 2)
    made = [artifact(tmp_path, f"c{step}.safetensors", type="checkpoint", step=step) for step in (1, 2, 3)]
    fake_kind.script = [*made, Finished()]
    job = run(slot)
    assert [row.step for row in job.artifacts.all()] == [2, 3]
    assert not default_storage.exists(f"checkpoints/{job.pk}/1/c1.safetensors")
    assert default_storage.exists(f"checkpoints/{job.pk}/1/c3.safetensors")


def test_what_is_published_twice_in_one_attempt_stays_as_it_was(slot, fake_kind, tmp_path: Path) -> None:
    twice = artifact(tmp_path)
    fake_kind.script = [twice, twice, wait_for_cancel, twice, Finished()]
    job = run(slot)
    assert default_storage.exists(job.artifacts.get().key)


@pytest.mark.usefixtures("no_pauses")
def test_a_later_attempt_replaces_an_artifact_without_touching_the_old_file(slot, fake_kind, tmp_path: Path) -> None:
    fake_kind.script = [artifact(tmp_path), EngineFailed("killed", is_retryable=True)]
    job = run(slot)
    first = job.artifacts.get().key
    fake_kind.script = [artifact(tmp_path), Finished()]
    runner.execute(queue.claim_next(slot.kind, slot.name, this_process()))
    second = job.artifacts.get().key
    assert first != second
    assert not default_storage.exists(first)
    with default_storage.open(second) as stored:
        assert stored.read() == b"picture a.png"


def test_the_log_of_a_job_that_was_cancelled_while_it_waited_is_archived_too(fake_kind: FakeKind) -> None:
    job = make_job()
    cancel_job(job)
    archive_ended()
    job.refresh_from_db()
    assert not job.log_lines.exists()
    assert [line["event"] for line in log_of(job)] == ["job.cancelled"]
    archived = job.log_key
    archive_ended()
    job.refresh_from_db()
    assert job.log_key == archived
