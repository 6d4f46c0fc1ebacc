"""Short runs of the ai-toolkit adapter against the stand-in trainer, and what to look for in their events."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import EngineFailed
from jobs.events import Artifact, Event, Holding, Log, Progress
from tests.training.aitoolkit_fixtures import order_in, stand_in
from tests.training.holding import Hold
from training.engines.aitoolkit import Limits, is_running, train
from training.engines.order import TrainingOrder

QUICK = Limits(poll_seconds=0.05, interrupt_seconds=0.5, terminate_seconds=0.5, drain_seconds=60, stall_seconds=60)
# For a trainer that heeds what it is told: on a busy machine its end may take a while.
PATIENT = replace(QUICK, interrupt_seconds=60, terminate_seconds=60, kill_seconds=60)
SHORT: dict[str, Any] = {
    "steps": 200,
    "checkpoint_every_n_steps": 100,
    "sample_every_n_steps": 100,
    "sample_count": 1,
    "resolution": 512,
    "lora_rank": 4,
}
SLOW = {"ISENGARD_SIMULATOR_STEP_SECONDS": "0.005"}


def short_order(root: Path, **changes: Any) -> TrainingOrder:
    return order_in(root, **{**SHORT, **changes})


def run(order: TrainingOrder, *, limits: Limits = QUICK, **environment: str) -> list[Event]:
    return list(train(order, stand_in(**environment), limits=limits))


def run_seen(order: TrainingOrder, *seen: tuple[int | str, Callable[[Event], bool]], **environment: str) -> list[Event]:
    """Run to the end; the trainer waits at each place until what belongs there was told."""
    hold = Hold(order.workspace.parent / "held", at=seen[0][0])
    events = train(order, stand_in(hold=hold, **environment), limits=QUICK)
    taken = []
    for place, wanted in seen:
        hold.at(place)
        taken += until(events, wanted)
    hold.let_go()
    return taken + list(events)


def run_seen_from_its_start(order: TrainingOrder) -> list[Event]:
    return run_seen(order, ("Starting", is_progress))


def failure_of(order: TrainingOrder, fault: str, *, limits: Limits = QUICK) -> EngineFailed:
    with pytest.raises(EngineFailed) as caught:
        run(order, limits=limits, ISENGARD_SIMULATOR_FAULT=fault)
    return caught.value


def until(events: Iterator[Event], wanted: Callable[[Event], bool]) -> list[Event]:
    """Take events up to the first that is wanted, and that one."""
    taken = []
    for event in events:
        taken.append(event)
        if wanted(event):
            return taken
    raise AssertionError("the trainer ended before what was waited for")


def identity_in(events: list[Event]) -> dict[str, Any]:
    return next(dict(event.identity) for event in events if isinstance(event, Holding))


def steps_in(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Progress) and event.step is not None]


def names_in(events: list[Event], kind: str) -> list[str]:
    return [event.name for event in events if isinstance(event, Artifact) and event.type == kind]


def logged(events: list[Event]) -> str:
    return "\n".join(event.message for event in events if isinstance(event, Log))


def is_progress(event: Event) -> bool:
    return isinstance(event, Progress)


def is_at_step(step: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, Progress) and event.step is not None and event.step >= step


def is_gone_within(identity: dict[str, Any], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(identity):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
