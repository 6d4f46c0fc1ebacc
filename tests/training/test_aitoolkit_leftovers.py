"""Trainers whose worker is gone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.events import Holding
from tests.training.aitoolkit_fixtures import JOB_ID, PROJECT, order_in, stand_in
from tests.training.aitoolkit_runs import is_gone_within
from tests.training.holding import Hold
from training.engines.aitoolkit import is_running, stop_leftover, train

# Its trainer needs minutes, more than anybody waits for what else may end it.
WORKER = """
import json, sys
from pathlib import Path
from jobs.events import Holding, Progress
from tests.training.aitoolkit_fixtures import order_in, stand_in
from training.engines.aitoolkit import train
environment = json.loads(sys.argv[2])
order = order_in(Path(sys.argv[1]), steps=10000)
for event in train(order, stand_in(ISENGARD_SIMULATOR_STEP_SECONDS="0.02", **environment)):
    if isinstance(event, Holding):
        identity = dict(event.identity)
    if isinstance(event, Progress) and event.step:
        print(json.dumps(identity), flush=True)
"""


def killed_worker(root: Path, **environment: str) -> dict[str, Any]:
    """Start a worker, kill it in the middle of its training and return what its trainer is known by."""
    command = [sys.executable, "-c", WORKER, str(root), json.dumps(environment)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        identity: dict[str, Any] = json.loads(worker.stdout.readline())
        worker.kill()
    return identity


def test_a_trainer_dies_with_its_worker(tmp_path: Path) -> None:
    assert is_gone_within(killed_worker(tmp_path), 60)


def test_what_survives_of_a_trainer_is_found_and_ended(tmp_path: Path) -> None:
    identity = killed_worker(tmp_path, ISENGARD_SIMULATOR_FAULT="grandchild")
    assert is_running(identity)
    assert stop_leftover(identity)
    assert not is_running(identity)


def test_a_trainer_that_is_gone_counts_as_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert stop_leftover({"pid": process.pid, "start_time": time.time(), "job": "train-gone", "attempt": 1})


def test_a_process_that_was_given_the_number_later_is_spared() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as other:
        identity = {"pid": other.pid, "start_time": time.time() - 3600, "job": "train-other", "attempt": 1}
        assert stop_leftover(identity)
        assert other.poll() is None


@pytest.mark.parametrize(("attempt", "is_spared"), [(1, False), (2, False), (3, True)])
def test_a_later_attempt_at_the_same_job_is_spared(attempt: int, is_spared: bool, tmp_path: Path) -> None:
    events = train(order_in(tmp_path, attempt=attempt), stand_in(hold=Hold(tmp_path / "held", at=1)))
    running = next(dict(event.identity) for event in events if isinstance(event, Holding))
    assert stop_leftover({"pid": os.getpid(), "job": JOB_ID, "attempt": 2})
    assert is_running(running) is is_spared
    events.close()


def test_a_reaper_that_carries_the_mark_itself_does_not_end_itself() -> None:
    # A job of this process alone: other reapers on this machine end whatever carries their mark.
    job = f"train-reaped-{os.getpid()}"
    identity = {"pid": 1, "job": job, "attempt": 1}
    code = f"from training.engines.aitoolkit import stop_leftover; stop_leftover({identity})"
    environment = {"ISENGARD_JOB": job, "ISENGARD_ATTEMPT": "1", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, start_new_session=True, check=False)
    assert done.returncode != -signal.SIGKILL
    assert done.returncode == 0
