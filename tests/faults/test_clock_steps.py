"""The machine's clock is set ahead a day, and back a day: nothing expires, nothing hangs, nothing runs twice."""

import os
import struct
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest
from django.utils import timezone

from jobs import identity, queue, runner, slots
from jobs.events import Finished, Progress
from jobs.models import Job, Slot
from jobs.transitions import Claim
from tests.api_client import ENDED, Api
from tests.conftest import wait_until
from tests.faults.stack_redis import redis_of
from tests.faults.standing_still import database_of, standing_still
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process
from tests.stack import Stack
from tests.training.holding import Hold

DAY_SECONDS = 86_400
# How far a training is when the clock is set ahead, and back.
STEPS_UNTIL_A_STEP = (60, 160)


class Clock:
    """The time of day of all processes of a stack."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ahead"
        self.set_ahead(0)
        library = folder / "clock_ahead.so"
        source = Path(__file__).with_name("clock_ahead.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_AHEAD_FILE": str(self._file)}

    def set_ahead(self, seconds: int) -> None:
        """Negative: back. Counted from the true time."""
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(descriptor, struct.pack("=q", seconds), 0)
        os.close(descriptor)


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def hold(tmp_path_factory: pytest.TempPathFactory) -> Hold:
    """How far the trainers of the stack go."""
    return Hold(tmp_path_factory.mktemp("hold"), at=STEPS_UNTIL_A_STEP[0])


@pytest.fixture(scope="module")
def stack(clock: Clock, hold: Hold, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir = tmp_path_factory.mktemp("stack") / "data"
    running = Stack(data_dir, AI_TOOLKIT_PYTHON=hold.python, **clock.environment)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_jobs_that_run_and_wait_go_on_when_the_clock_is_set_ahead_and_back(api: Api, clock: Clock, hold: Hold) -> None:
    training = api.train(api.make_character(), steps=500)
    jobs = [training, *(api.generate(steps=60, count=2) for _ in range(4))]
    wait_until(lambda: api.job(jobs[1])["status"] in ("running", *ENDED), what="the first picture")
    for seconds, steps in zip((DAY_SECONDS, -DAY_SECONDS), STEPS_UNTIL_A_STEP, strict=True):
        hold.at(steps)
        wait_until(lambda: api.job(training)["current_step"] >= steps, what="further steps")  # noqa: B023
        clock.set_ahead(seconds)
        jobs.append(api.generate())
    hold.let_go()
    for job in jobs:
        ended = api.wait_for(job)
        assert (ended["status"], ended["attempt"]) == ("completed", 1), ended
    assert api.job(training)["elapsed_seconds"] >= 0
    # It was the clock of the processes that was set, and not ours.
    created_at = datetime.fromisoformat(api.job(jobs[-1])["created_at"])
    assert abs((created_at - timezone.now()).total_seconds() + DAY_SECONDS) < 600


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_what_is_done_every_few_seconds_is_done_after_the_clock_was_set_back(stack: Stack, clock: Clock) -> None:
    clock.set_ahead(0)
    (maintenance,) = stack.processes("maintenance@")
    with standing_still(maintenance, database_of(stack)), redis_of(stack) as redis:
        # The clock has looked at its own clock before, and knows when it is to look again.
        wait_until(lambda: redis.llen("isengard:maintenance"), what="the first message")
        clock.set_ahead(-DAY_SECONDS)
        before = redis.llen("isengard:maintenance")
        wait_until(lambda: redis.llen("isengard:maintenance") > before + 1, what="two more messages")


def test_a_process_is_known_again_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed_by = this_process()
    real = psutil.Process.create_time
    # As the system tells it then: the start is counted from a boot that is a day earlier now.
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real(process) - DAY_SECONDS)
    assert not identity.is_certainly_gone(claimed_by)
    assert identity.is_certainly_gone({**claimed_by, "start_ticks": claimed_by["start_ticks"] - 1})


def test_a_worker_of_the_release_before_is_known_by_the_time_of_its_start() -> None:
    claimed_by = {name: value for name, value in this_process().items() if name != "start_ticks"}
    assert not identity.is_certainly_gone(claimed_by)
    assert identity.is_certainly_gone({**claimed_by, "start_time": claimed_by["start_time"] - 5})


@pytest.fixture
def slot(db: None) -> Iterator[Slot]:
    kind = FakeKind()
    with registered(kind):
        yield make_slot(kind)


TOMORROW = timedelta(days=1)


def test_a_sign_of_life_from_the_future_keeps_no_dead_worker_alive(slot: Slot) -> None:
    Slot.objects.update(heartbeat_at=timezone.now() + TOMORROW)
    assert not Slot.objects.get(pk=slot.pk).is_served()
    Slot.objects.update(heartbeat_at=timezone.now() + timedelta(seconds=5))
    assert Slot.objects.get(pk=slot.pk).is_served()


def test_an_engine_that_is_away_since_a_moment_to_come_is_not_waited_for_until_then(slot: Slot) -> None:
    Slot.objects.update(away_since=timezone.now() + TOMORROW)
    assert slots.is_abandoned(slot.name)


def test_a_run_that_began_tomorrow_has_taken_no_time(slot: Slot) -> None:
    assert make_job(started_at=timezone.now() + TOMORROW).elapsed_seconds == 0


@pytest.mark.django_db(transaction=True)
def test_the_time_until_a_window_is_counted_anew_when_the_clock_was_set_back() -> None:
    fake_kind, seen, running = FakeKind(), [], []

    def set_back(job: Job, claim: Claim) -> None:
        # To the run its first step now lies in the future.
        running[0].stepping_since = timezone.now() + TOMORROW

    fake_kind.script = [
        Progress(stage="training", step=1, total=10),
        set_back,
        Progress(stage="training", step=2, total=10),
        lambda job, claim: seen.append(running[0].stepping_since),
        Finished(),
    ]
    with registered(fake_kind):
        slot = make_slot(fake_kind)
        make_job()
        claim = queue.claim_next("fake", slot.name, this_process())
        running.append(Job.objects.get(pk=claim.job_id))
        runner.Run(claim, running[0]).go()
    assert seen[0] <= timezone.now()
