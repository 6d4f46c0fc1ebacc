"""How a trainer is stopped, by whom, and that nothing of it is left; with the stand-in as a real process."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from jobs.errors import EngineFailed
from jobs.events import Artifact, Event, Finished, Holding, Log, Started
from tests.conftest import wait_until
from tests.training.aitoolkit_fixtures import JOB_ID, stand_in, write_lora
from tests.training.aitoolkit_runs import (
    PATIENT,
    QUICK,
    identity_in,
    is_at_step,
    logged,
    short_order,
    until,
)
from tests.training.holding import Hold
from tests.training.test_aitoolkit_leftovers import PROJECT, WORKER
from training.engines.aitoolkit import Limits, is_running, memory_kills, train
from training.engines.order import TrainingOrder

pytestmark = pytest.mark.usefixtures("no_memory_kills")
SIGNALS = {"interrupt": "sigint", "terminate": "sigterm"}


def marked() -> list[psutil.Process]:
    """The processes that belong to this test's job, in whatever session."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("ISENGARD_JOB") == JOB_ID:
                found.append(process)
    return found


def last_words(order: TrainingOrder) -> list[str]:
    return [line.message for line in order.controls.take_last_words()]


def started(order: TrainingOrder, fault: str = "", *, limits: Limits = QUICK) -> tuple[Iterator[Event], list[Event]]:
    """Let it come to step 60, where it hangs if it is to, or waits a step later."""
    hold = Hold(order.workspace.parent / "held", at=61)
    events = train(order, stand_in(hold=hold, ISENGARD_SIMULATOR_FAULT=fault), limits=limits)
    return events, until(events, is_at_step(60))


@pytest.mark.parametrize(
    ("ignored", "steps"),
    [
        ([], ["SIGINT: gone"]),
        (["interrupt"], ["SIGINT: still there", "SIGTERM: gone"]),
        (["interrupt", "terminate"], ["SIGINT: still there", "SIGTERM: still there", "SIGKILL to its group: gone"]),
    ],
)
def test_each_step_of_a_stop_is_told_with_its_time(ignored: list[str], steps: list[str], tmp_path: Path) -> None:
    order = short_order(tmp_path)
    # What it does not heed is soon given up.
    limits = replace(PATIENT, **{f"{name}_seconds": 0.5 for name in ignored})
    events, _ = started(order, ",".join(f"ignore-{SIGNALS[name]}" for name in ignored), limits=limits)
    events.close()
    told = last_words(order)
    assert [line.removeprefix("Stopping the trainer by ").split(" after ")[0] for line in told] == steps
    assert all(line.endswith(" s.") for line in told)
    assert not marked()


def test_a_trainer_that_ended_by_itself_needs_no_stop(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    assert isinstance(list(train(order, stand_in(), limits=QUICK))[-1], Finished)
    assert last_words(order) == []


@pytest.mark.parametrize("fault", ["daemon", "daemon,grandchild,ignore-sigint"])
def test_what_a_trainer_started_in_a_session_of_its_own_is_gone_too(fault: str, tmp_path: Path) -> None:
    events, taken = started(short_order(tmp_path), fault)
    assert len({os.getsid(process.pid) for process in marked()}) == 2
    events.close()
    assert not is_running(identity_in(taken))
    assert not marked()


def test_nothing_in_any_session_survives_the_end_of_a_finished_trainer(tmp_path: Path) -> None:
    list(train(short_order(tmp_path), stand_in(ISENGARD_SIMULATOR_FAULT="daemon"), limits=QUICK))
    assert not marked()


def test_a_trainer_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    taken: list[Event] = []
    hold = Hold(tmp_path / "held", at=5)
    events = train(short_order(tmp_path), stand_in(hold=hold), limits=QUICK)
    thread = threading.Thread(target=lambda: taken.extend(until(events, is_at_step(5))))
    thread.start()
    thread.join()
    assert is_running(identity_in(taken))
    hold.at(60)
    until(events, is_at_step(60))
    events.close()
    assert not marked()


def test_a_trainer_that_is_terminated_together_with_its_worker_costs_the_job_nothing(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    events, taken = started(order, limits=replace(QUICK, drain_notice_seconds=60))
    os.kill(identity_in(taken)["pid"], signal.SIGTERM)
    # A service manager ends all processes at once, so the worker may learn of it a moment later.
    notice = threading.Timer(0.5, order.controls.ask_to_drain)
    notice.start()
    rest = list(events)
    notice.join()
    assert not any(isinstance(event, Finished) for event in rest)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "interrupted from outside")])
def test_a_trainer_that_somebody_ended_fails_so_that_it_is_tried_again(number: int, name: str, tmp_path: Path) -> None:
    limits = replace(QUICK, drain_notice_seconds=0.1)
    events, taken = started(short_order(tmp_path), limits=limits)
    os.kill(identity_in(taken)["pid"], number)
    with pytest.raises(EngineFailed, match=name) as told:
        list(events)
    assert told.value.is_retryable


def test_a_trainer_that_the_kernel_killed_for_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_kills, "PROC", tmp_path / "proc")
    counter = tmp_path / "proc" / "vmstat"
    counter.parent.mkdir()
    counter.write_text("oom_kill 4\n")
    events, taken = started(short_order(tmp_path))
    counter.write_text("oom_kill 5\n")
    os.kill(identity_in(taken)["pid"], signal.SIGKILL)
    with pytest.raises(EngineFailed, match="because the machine ran out of memory") as told:
        list(events)
    assert told.value.is_retryable


def test_a_drain_with_enough_time_saves_first_and_then_interrupts(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    events, _ = started(order, limits=PATIENT)
    order.controls.ask_to_drain()
    rest = list(events)
    saved = [event.step for event in rest if isinstance(event, Artifact) and event.type == "checkpoint"]
    assert saved
    assert "to go on elsewhere" in logged(rest)
    assert [line.split(" after ")[0] for line in last_words(order)] == ["Stopping the trainer by SIGINT: gone"]


def test_a_trainer_that_goes_on_from_another_save_than_ours_is_given_up(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    # The save is there before the trainer looks for one, and after the adapter did.
    hold = Hold(tmp_path / "held", at="Starting")
    events = train(order, stand_in(hold=hold), limits=QUICK)
    until(events, lambda event: isinstance(event, Holding))
    write_lora(order.workspace / "output" / JOB_ID / f"{JOB_ID}_000000050.safetensors", step=50, rank=4)
    hold.let_go()
    with pytest.raises(EngineFailed, match="began at step 50 though the newest whole save is of step 0") as told:
        list(events)
    assert told.value.is_retryable
    assert not marked()


def test_the_next_attempt_ends_what_a_worker_that_stands_still_left_running(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path), "{}"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        (trainer,) = marked()
        worker.send_signal(signal.SIGSTOP)
        events = train(short_order(tmp_path, attempt=2), stand_in(hold=Hold(tmp_path / "held", at=1)), limits=QUICK)
        taken = until(events, lambda event: isinstance(event, Started))
        # Its parent stands still and so cannot collect it: it is gone all the same.
        wait_until(lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE, what="its end")
        worker.send_signal(signal.SIGCONT)
        assert worker.wait(60) != 0
        assert is_running(identity_in(taken))
        events.close()
    assert not marked()


def test_a_worker_that_is_killed_leaves_a_daemon_that_the_next_attempt_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path), '{"ISENGARD_SIMULATOR_FAULT": "daemon,grandchild"}']
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        before = {process.pid for process in marked()}
        worker.kill()
    wait_until(lambda: len(marked()) == 2, what="the trainer's own end")
    order = short_order(tmp_path, attempt=2)
    assert isinstance(list(train(order, stand_in(), limits=QUICK))[-1], Finished)
    assert len(before) == 3
    assert not marked()


def test_a_save_that_the_trainer_died_in_costs_no_more_than_that_save(tmp_path: Path) -> None:
    order = short_order(tmp_path, steps=300)
    with pytest.raises(EngineFailed, match="SIGKILL"):
        list(train(order, stand_in(ISENGARD_SIMULATOR_FAULT="truncate-checkpoint@200"), limits=QUICK))
    (order.workspace / "output" / JOB_ID / "optimizer.pt").write_bytes(b"")
    second = list(train(short_order(tmp_path, steps=300, attempt=2), stand_in(), limits=QUICK))
    assert "Going on from step 100 of 300." in logged(second)
    assert "Failed to load optimizer state" in logged(second)
    assert isinstance(second[-1], Finished)


def test_a_drain_that_is_not_in_time_says_how_much_is_lost_and_stops_at_once(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    limits = Limits(poll_seconds=0.05, interrupt_seconds=0.2, terminate_seconds=0.2, drain_seconds=0.5)
    events, _ = started(order, "hang@60", limits=limits)
    order.controls.ask_to_drain()
    began = time.monotonic()
    rest = list(events)
    assert time.monotonic() - began < 30
    assert "60 steps are lost" in logged(rest)
    assert [line.level for line in rest if isinstance(line, Log) and "lost" in line.message] == ["WARNING"]


def test_a_yield_waits_longer_for_the_save_than_a_drain_may(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    limits = Limits(poll_seconds=0.05, interrupt_seconds=0.5, terminate_seconds=0.5, drain_seconds=0.0)
    events, _ = started(order, limits=limits)
    order.controls.ask_to_yield()
    rest = list(events)
    assert [event.step for event in rest if isinstance(event, Artifact) and event.type == "checkpoint"]
    assert "are lost" not in logged(rest)


def test_a_drain_in_the_middle_of_a_yield_does_not_wait_any_longer(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    limits = Limits(poll_seconds=0.05, interrupt_seconds=0.2, terminate_seconds=0.2, drain_seconds=0.2)
    events, _ = started(order, "hang@60", limits=limits)
    order.controls.ask_to_yield()
    next(events)
    order.controls.ask_to_drain()
    began = time.monotonic()
    assert "60 steps are lost" in logged(list(events))
    assert time.monotonic() - began < 30
