"""Jobs that kill what runs them: stopped after the third crash, in words; what is nobody's fault never counts."""

import os
import signal
import sqlite3
from contextlib import closing

import psutil
import pytest
from django.db import connections

from jobs import queue, reaper, runner
from jobs.errors import EngineFailed
from jobs.events import Artifact, Progress, Tick
from jobs.models import Job, Slot, Status
from tests.api_client import Api
from tests.conftest import wait_until
from tests.jobs.fakes import FakeKind, make_job, make_slot, this_process
from tests.stack import Stack

KILLED = EngineFailed("The trainer was killed; use a smaller resolution.", is_retryable=True, cause="killed")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RETRY_CRASHED_SECONDS", (0, 0))
    reaper._seen.clear()


def run(slot: Slot) -> Job:
    claimed = queue.claim_next(slot.kind, slot.name, this_process())
    assert claimed is not None
    runner.execute(claimed)
    return Job.objects.get(pk=claimed.job_id)


def run_in_a_worker_that_is_killed(slot: Slot) -> None:
    """Claim and run the best job in a process of its own, which SIGKILL ends in the middle of it."""
    connections.close_all()
    worker = os.fork()
    if worker == 0:
        try:
            run(slot)
        finally:
            os._exit(1)
    _, status = os.waitpid(worker, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def die(_: Job, __: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.django_db(transaction=True)
def test_a_job_that_kills_its_worker_three_times_is_given_up_in_words(slot: Slot, fake_kind: FakeKind) -> None:
    job = make_job()
    fake_kind.script = [Progress(step=3, total=10), Tick(), die]
    for crashes in (1, 2, 3):
        run_in_a_worker_that_is_killed(slot)
        assert reaper.reap() == 1
        job.refresh_from_db()
        assert job.crashes == crashes
    assert (job.status, job.failure_cause, job.holder) == (Status.FAILED, "worker_died", None)
    for words in ("Gave up after 3 crashes", "all in the same place", "its worker process died", f"jobs show {job.pk}"):
        assert words in (job.error_message or "")
    assert [row.outcome for row in job.attempts.all()] == ["crashed"] * 3
    assert queue.claim_next(slot.kind, slot.name, this_process()) is None


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_engine_is_killed_three_times_says_how_often_where_and_why(slot: Slot, fake_kind: FakeKind) -> None:
    elsewhere = make_slot(fake_kind, name="elsewhere", gpu="1")
    job = make_job()
    fake_kind.script = [Progress(step=3, total=10), KILLED]
    for place in (slot, slot, elsewhere):
        run(place)
    job.refresh_from_db()
    assert (job.status, job.crashes, job.failure_cause) == (Status.FAILED, 3, "killed")
    assert job.error_message == (
        "Gave up after 3 crashes without a new checkpoint in between, in 2 different places. The last one, at step 3 "
        "of 10: The trainer was killed; use a smaller resolution. Retry it once the cause is gone; the operator sees "
        f"every attempt with `manage.py jobs show {job.pk}`."
    )
    assert [row.outcome for row in job.attempts.all()] == ["crashed"] * 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("dies", ["engine", "worker"])
def test_the_last_attempt_is_made_elsewhere_if_there_is_another_place(slot, fake_kind: FakeKind, dies: str) -> None:
    job = make_job()
    elsewhere = make_slot(fake_kind, name="elsewhere", gpu="1")
    fake_kind.script = [KILLED] if dies == "engine" else [die]
    for _ in range(2):
        run(slot) if dies == "engine" else run_in_a_worker_that_is_killed(slot)
        reaper.reap()
    assert queue.claim_next(slot.kind, slot.name, this_process()) is None
    assert queue.claim_next(slot.kind, elsewhere.name, this_process()) is not None
    assert Job.objects.get(pk=job.pk).attempt == 3


@pytest.mark.django_db(transaction=True)
def test_a_checkpoint_in_between_starts_the_count_anew(slot: Slot, fake_kind: FakeKind, tmp_path) -> None:
    made = tmp_path / "c.safetensors"
    made.write_bytes(b"weights")
    job = make_job(crashes=2)
    fake_kind.script = [Artifact(type="checkpoint", name=made.name, path=made, step=5), KILLED]
    run(slot)
    job.refresh_from_db()
    assert (job.status, job.crashes) == (Status.QUEUED, 1)


def database_of(stack: Stack) -> sqlite3.Connection:
    return sqlite3.connect(stack.data_dir / "isengard.sqlite3", timeout=30)


def trainer_of(stack: Stack, job: str) -> psutil.Process | None:
    return next(iter(stack.processes("run.py", job)), None)


@pytest.mark.stack
def test_a_real_worker_killed_for_the_third_time_ends_the_training_and_leaves_nothing(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), steps=4000, checkpoint_every_n_steps=2000)
    trainer = wait_until(lambda: trainer_of(stack, job), seconds=60, what="the trainer")
    # Two more real deaths here would only make the supervisor wait longer before each start.
    with closing(database_of(stack)) as database, database:
        database.execute("UPDATE jobs_job SET crashes = 2 WHERE id = ?", [job])
    stack.processes("celery", "worker", "training@")[0].kill()
    ended = api.wait_for(job)
    assert ended["status"] == "failed"
    assert "Gave up after 3 crashes" in ended["error_message"]
    assert not psutil.wait_procs([trainer], timeout=60)[1]
    (told,) = api.get(f"/api/jobs/{job}/attempts")["attempts"]
    assert (told["outcome"], told["reason"]) == ("crashed", "its worker process died")
    assert told["claimed_at"] < told["ended_at"]
