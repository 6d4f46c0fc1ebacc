"""Processes that stand still for a while, as under a debugger or on a machine that swaps: all goes on afterwards."""

import sqlite3
from pathlib import Path

import psutil
import pytest

from tests.api_client import Api
from tests.conftest import wait_until
from tests.faults.standing_still import database_of, standing_still
from tests.faults.test_dead_processes import row, worker
from tests.stack import Stack
from tests.training.aitoolkit_fixtures import stand_in
from tests.training.aitoolkit_runs import QUICK, SLOW, identity_in, is_at_step, short_order, until
from training.engines.aitoolkit import train


def slot_heartbeat(stack: Stack) -> str:
    """Return when the training worker last did what workers do every few seconds."""
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute("SELECT heartbeat_at FROM jobs_slot WHERE kind = 'training'").fetchone()[0]


def test_a_trainer_that_stands_still_is_gone_after_the_last_step_of_a_cancel(tmp_path: Path) -> None:
    events = train(short_order(tmp_path, steps=5000), stand_in(**SLOW), limits=QUICK)
    identity = identity_in(until(events, is_at_step(20)))
    # SIGINT and SIGTERM wait until it goes on.
    psutil.Process(identity["pid"]).suspend()
    events.close()
    assert not psutil.pid_exists(identity["pid"])


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_a_generation_goes_on_when_its_server_does_and_when_its_worker_does(api: Api, stack: Stack) -> None:
    job = api.generate(steps=60, count=4)
    for number, words in enumerate([("generation.engines.simulator",), ("generation@",)], start=1):
        wait_until(lambda: len(api.job(job)["output_paths"]) >= number, what="a picture")  # noqa: B023
        before = slot_heartbeat(stack)
        with standing_still(stack.processes(*words)[0], database_of(stack)):
            # The others do not stand still meanwhile: they look at who is silent, and at what waits.
            wait_until(lambda: slot_heartbeat(stack) > before, what="the look of another worker")  # noqa: B023
    ended = api.wait_for(job)
    assert (ended["status"], ended["attempt"], len(ended["output_paths"])) == ("completed", 1, 4)


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_while_the_supervisor_stands_still_work_goes_on_and_then_it_mends_what_died(api: Api, stack: Stack) -> None:
    supervisor = psutil.Process(stack.process.pid)
    job = api.generate(steps=30)
    with standing_still(supervisor):
        killed = worker(stack, "generation")
        killed.kill()
        wait_until(lambda: row(stack, job, "holder") == (None,), what="the end of the dead worker's claim")
        waiting = api.generate()
        assert api.job(waiting)["status"] in ("pending", "queued")
    assert [api.wait_for(each)["status"] for each in (job, waiting)] == ["completed", "completed"]
    assert worker(stack, "generation").pid != killed.pid
