"""Fewer points of a loss curve: real ones, and those that matter."""

import math
import time

import pytest

from jobs.events import Loss
from training.curve import downsample


def points(*losses: float | None) -> list[Loss]:
    return [Loss(step=step, loss=loss, learning_rate=1e-4) for step, loss in enumerate(losses, start=1)]


def wave(count: int) -> list[Loss]:
    return points(*(0.5 + 0.1 * math.sin(step / 50) for step in range(count)))


@pytest.mark.parametrize("count", [0, 1, 2, 499, 500])
def test_what_fits_is_left_as_it_is(count: int) -> None:
    assert downsample(wave(count), 500) == wave(count)


@pytest.mark.parametrize("limit", [2, 3, 4, 5, 7, 100, 500, 5000, 9999])
def test_there_are_never_more_than_asked_for_and_all_are_real_and_in_order(limit: int) -> None:
    whole = wave(10_000)
    chosen = downsample(whole, limit)
    assert len(chosen) <= limit
    assert len(chosen) >= limit // 2
    assert (chosen[0], chosen[-1]) == (whole[0], whole[-1])
    steps = [point.step for point in chosen]
    assert steps == sorted(set(steps))
    assert all(point == whole[point.step - 1] for point in chosen)


@pytest.mark.parametrize("spike", [1.0e9, -1.0])
@pytest.mark.parametrize("at", [1, 4321, 9998])
def test_a_single_spike_is_never_lost(spike: float, at: int) -> None:
    whole = wave(10_000)
    whole[at] = Loss(step=at + 1, loss=spike, learning_rate=1e-4)
    assert whole[at] in downsample(whole, 500)


def test_a_single_null_stays_visible() -> None:
    whole = points(*[0.5] * 3000, None, *[0.5] * 3000)
    assert [point.step for point in downsample(whole, 100) if point.loss is None] == [3001]


def test_a_curve_that_diverged_is_null_to_its_end() -> None:
    whole = points(*[0.5] * 1000, *[None] * 9000)
    chosen = downsample(whole, 100)
    assert len(chosen) <= 100
    lacking = [point.step for point in chosen if point.loss is None]
    assert lacking[-1] == 10_000
    assert 1001 <= lacking[0] <= 1400
    assert len(lacking) >= 28


def seconds_for(count: int) -> float:
    whole = wave(count)
    # Time of this thread's own: the machine may do something else meanwhile.
    began = time.thread_time()
    downsample(whole, 500)
    return time.thread_time() - began


def test_ten_times_the_points_take_about_ten_times_as_long() -> None:
    short, long = (min(seconds_for(count) for _ in range(3)) for count in (2_000, 20_000))
    assert long < 40 * short
