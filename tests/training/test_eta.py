"""How long a training still takes: compared with how long a made-up one really took."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from jobs.events import Stage
from training.engines.aitoolkit.eta import Eta, Plan

LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds for each thing that a training does."""

    load: float = 90.0
    first_step: float = 15.0
    step: float = 1.7
    sampling: float = 40.0
    saving: float = 9.0


def moments(plan: Plan, pace: Pace) -> Iterator[tuple[float, Stage, int]]:
    """Yield when which stage begins, and how many steps are completed then: in the order of the real program."""
    at, step, batches = 0.0, plan.start, random.Random(7)
    yield at, "loading_model", step
    at += pace.load
    if step == 0:
        yield at, "sampling", step
        at += pace.sampling
    while step < plan.total:
        yield at, "training", step
        # No two batches take the same time.
        at += pace.first_step if step == plan.start else pace.step * batches.uniform(0.7, 1.3)
        for stage, every, seconds in (
            ("saving_checkpoint", plan.save_every, pace.saving),
            ("sampling", plan.sample_every, pace.sampling),
        ):
            if step != plan.start and step % every == 0:
                yield at, stage, step
                at += seconds
        step += 1
    yield at, "exporting", step
    at += pace.saving
    yield at, "sampling", step
    yield at + pace.sampling, "exporting", step


def estimates(plan: Plan, pace: Pace, *, told_speed: float | None = None) -> list[tuple[float, float | None]]:
    """Return, for each look, the seconds that are really left and those that were estimated."""
    story = list(moments(plan, pace))
    end, eta, seen, turn = story[-1][0], Eta(plan), [], 0
    for (_, stage, step), (until, _, _) in pairwise(story):
        while turn * LOOK_SECONDS < until:
            now = turn * LOOK_SECONDS
            eta.note(stage, step, now=now)
            seen.append((end - now, eta.seconds_left(step, told_speed=told_speed)))
            turn += 1
    return seen


PLAN = Plan(total=1000, sample_every=100, save_every=250)
PACES = [
    Pace(),
    Pace(step=0.03, first_step=2.0, sampling=3.0, saving=0.5),
    Pace(step=11.0, first_step=60.0, sampling=300.0, saving=30.0),
]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("start", [0, 250])
def test_in_the_second_half_the_estimate_is_within_a_tenth(pace: Pace, start: int) -> None:
    seen = estimates(Plan(total=1000, start=start, sample_every=100, save_every=250), pace)
    late = [(left, told) for left, told in seen if left <= (seen[0][0] - pace.load) / 2]
    assert late
    # At the very end what is left is less than what two looks lie apart.
    wrong = [(left, told) for left, told in late if told is None or abs(told - left) > 0.1 * left + 5 * LOOK_SECONDS]
    assert wrong == []


@pytest.mark.parametrize("pace", PACES)
def test_the_error_shrinks(pace: Pace) -> None:
    errors = [abs(told - left) for left, told in estimates(PLAN, pace) if told is not None]
    thirds = [errors[len(errors) * part // 3 : len(errors) * (part + 1) // 3] for part in range(3)]
    first, second, third = (sum(part) / len(part) for part in thirds)
    assert first > second > third


@pytest.mark.parametrize("pace", PACES)
def test_it_is_never_negative_and_does_not_jump_when_the_stage_changes(pace: Pace) -> None:
    told = [value for _, value in estimates(PLAN, pace) if value is not None]
    assert min(told) >= 0
    settled = told[len(told) // 2 :]
    assert max(after - before for before, after in pairwise(settled)) < 0.02 * told[0]


def test_while_it_loads_there_is_none_even_if_a_speed_is_told() -> None:
    pace = Pace()
    seen = estimates(PLAN, pace, told_speed=2.0)
    assert {told for left, told in seen if left > seen[0][0] - pace.load} == {None}


def test_a_speed_that_is_told_serves_until_one_is_measured() -> None:
    eta = Eta(Plan(total=100))
    eta.note("training", 0, now=0.0)
    assert eta.seconds_left(0, told_speed=None) is None
    assert eta.seconds_left(0, told_speed=2.0) == 50.0


def test_the_speed_follows_a_gpu_that_is_slowed_down() -> None:
    eta = Eta(Plan(total=100_000))
    for second in range(600):
        eta.note("training", second * 4, now=float(second))
    for second in range(120):
        eta.note("training", 2400 + second, now=600.0 + second)
    assert eta.steps_per_second == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(
    ("step", "is_done_here", "rounds"),
    [
        (0, False, 10),
        (99, False, 10),
        (100, False, 10),
        (100, True, 9),
        (101, False, 9),
        (999, False, 1),
        (1000, False, 1),
        (1000, True, 0),
    ],
)
def test_rounds_are_counted_as_the_trainer_makes_them(step: int, is_done_here: bool, rounds: int) -> None:
    assert Plan(total=1000).rounds_ahead(step, 100, is_done_here=is_done_here) == rounds


def test_no_round_is_made_at_the_step_that_a_run_starts_with() -> None:
    assert Plan(total=1000, start=500).rounds_ahead(500, 250, is_done_here=False) == 2
    assert Plan(total=1000, start=500).rounds_ahead(500, 0, is_done_here=False) == 0
