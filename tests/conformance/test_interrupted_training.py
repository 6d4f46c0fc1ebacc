"""Trainings that are stopped, drained or killed, and the attempts after them, with every program."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import EngineFailed
from jobs.events import Artifact, Event, Finished, Log, Losses, Obeyed
from tests.conformance.training_programs import PATIENT, SLOW, Program, Run, small_order
from tests.training.aitoolkit_runs import identity_in, is_at_step, is_progress, logged, names_in, steps_in, until
from tests.training.holding import Hold
from training.engines.aitoolkit import is_running, train
from training.engines.order import TrainingOrder

pytest_plugins = ("tests.conformance.training_fixtures",)
pytestmark = pytest.mark.timeout(900)

# Long enough to be met in mid-training, with no checkpoint of its own but the one after eight steps.
LONG: dict[str, Any] = {"steps": 60, "checkpoint_every_n_steps": 8, "sample_every_n_steps": 1000, "sample_count": 1}
NEVER_SAVED = LONG | {"checkpoint_every_n_steps": 1000}


def go(program: Program, order: TrainingOrder) -> list[Event]:
    """Run to the end; the first look finds the trainer at its start."""
    hold = Hold(order.workspace.parent / "held", at="Starting")
    events = train(order, program.installation(hold=hold), limits=PATIENT)
    begun = until(events, is_progress)
    hold.let_go()
    return [*begun, *events]


def order_for(root: Path, attempt: int = 1, params: dict[str, Any] = LONG) -> TrainingOrder:
    return small_order(root, params=params, attempt=attempt)


def loss_steps(events: list[Event]) -> list[int]:
    return [point.step for event in events if isinstance(event, Losses) for point in event.points]


def is_checkpoint(event: Event) -> bool:
    return isinstance(event, Artifact) and event.type == "checkpoint"


def is_logged(text: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, Log) and text in event.message


def test_a_cancelled_training_stops_at_an_interrupt_and_leaves_no_process(program: Program, tmp_path: Path) -> None:
    order = order_for(tmp_path)
    hold = Hold(tmp_path / "held", at=3)
    events = train(order, program.installation(hold=hold, **SLOW), limits=PATIENT)
    identity = identity_in(until(events, is_at_step(3)))
    events.close()
    assert not is_running(identity)
    assert "SIGINT: gone" in " ".join(event.message for event in order.controls.take_last_words())


def test_a_training_that_is_cancelled_while_it_loads_leaves_no_process(program: Program, tmp_path: Path) -> None:
    hold = Hold(tmp_path / "held", at="Loading transformer")
    events = train(order_for(tmp_path), program.installation(hold=hold, **SLOW), limits=PATIENT)
    identity = identity_in(until(events, is_logged("Loading transformer")))
    events.close()
    assert not is_running(identity)


def test_a_drained_training_saves_and_goes_on_from_that_step(program: Program, tmp_path: Path) -> None:
    order = order_for(tmp_path, params=NEVER_SAVED)
    hold = Hold(tmp_path / "held", at=5)
    events = train(order, program.installation(hold=hold, **SLOW), limits=PATIENT)
    first = until(events, is_at_step(5))
    order.controls.ask_to_drain()
    first += list(events)
    assert not any(isinstance(event, Finished) for event in first)
    assert not is_running(identity_in(first))
    saved = [event.step for event in first if is_checkpoint(event)]
    assert len(saved) == 1
    second = go(program, order_for(tmp_path, attempt=2, params=NEVER_SAVED))
    assert isinstance(second[-1], Finished)
    assert min(steps_in(second)) == saved[0]
    assert f"Found step {saved[0]} in metadata, starting from there" in logged(second)
    assert sorted({*loss_steps(first), *loss_steps(second)})[-1] == LONG["steps"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_trainer_that_is_killed_goes_on_from_its_newest_checkpoint(
    program: Program, number: signal.Signals, tmp_path: Path
) -> None:
    # Before its next checkpoint.
    hold = Hold(tmp_path / "held", at=15)
    events = train(order_for(tmp_path), program.installation(hold=hold, **SLOW), limits=PATIENT)
    first: list[Event] = []
    # The loss log is written four times a second: what was measured since then is lost with the trainer.
    while not any(is_checkpoint(event) for event in first) or max(loss_steps(first), default=0) <= 9:
        first.append(next(events))
    os.kill(identity_in(first)["pid"], number)
    with pytest.raises(EngineFailed) as failure:
        first += list(events)
    assert failure.value.is_retryable
    assert not is_running(identity_in(first))
    saved = max(event.step for event in first if is_checkpoint(event))
    second = go(program, order_for(tmp_path, attempt=2))
    assert isinstance(second[-1], Finished)
    assert min(steps_in(second)) >= saved >= 8
    told = loss_steps(second)
    # Only the step that a run starts with is never logged, and the attempt before had made that.
    assert set(told) | {saved + 1} == set(range(2, LONG["steps"] + 1))


def test_a_truncated_checkpoint_is_set_aside_and_the_one_before_goes_on(
    program: Program, whole_run: Run, tmp_path: Path
) -> None:
    order = small_order(tmp_path, attempt=2)
    shutil.copytree(whole_run.workspace.root, order.workspace)
    saves = order.workspace / "output" / whole_run.workspace.name
    (saves / whole_run.workspace.model.name).unlink()
    newest = saves / f"{whole_run.workspace.name}_000000016.safetensors"
    os.truncate(newest, newest.stat().st_size // 2)
    events = go(program, order)
    assert isinstance(events[-1], Finished)
    assert min(steps_in(events)) == 8
    assert f"{newest.name} is incomplete and was set aside" in logged(events)
    assert names_in(events, "checkpoint") == [newest.name]


def test_an_optimizers_state_that_is_damaged_costs_only_itself(
    program: Program, whole_run: Run, tmp_path: Path
) -> None:
    order = small_order(tmp_path, attempt=2)
    shutil.copytree(whole_run.workspace.root, order.workspace)
    saves = order.workspace / "output" / whole_run.workspace.name
    (saves / whole_run.workspace.model.name).unlink()
    (saves / "optimizer.pt").write_bytes(b"half of it")
    events = go(program, order)
    assert isinstance(events[-1], Finished)
    assert min(steps_in(events)) == 16
    assert "Failed to load optimizer state" in logged(events)


def test_it_saves_and_samples_on_request(program: Program, tmp_path: Path) -> None:
    order = order_for(tmp_path, params=NEVER_SAVED)
    hold = Hold(tmp_path / "held", at=3)
    events = train(order, program.installation(hold=hold, **SLOW), limits=PATIENT)
    taken = until(events, is_at_step(3))
    order.controls.ask_to_save()
    order.controls.ask_to_sample()
    for _ in ("save", "sample"):
        taken += until(events, lambda event: isinstance(event, Obeyed))
    hold.let_go()
    taken += list(events)
    assert {event.verb for event in taken if isinstance(event, Obeyed)} == {"save", "sample"}
    assert len(names_in(taken, "checkpoint")) == 1
    # Beside the ones at the beginning and at the end.
    assert len(names_in(taken, "sample")) == 3
    assert isinstance(taken[-1], Finished)
