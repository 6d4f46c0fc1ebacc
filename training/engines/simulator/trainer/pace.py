"""How long everything takes, counted in training steps."""

import math
import time

SLICE_SECONDS = 0.05


class Pace:
    def __init__(self, seconds_per_step: float) -> None:
        """Raise ValueError unless the pace is a finite number of seconds, zero or more."""
        if not math.isfinite(seconds_per_step) or seconds_per_step < 0:
            raise ValueError(f"a step takes 0 seconds or more, not {seconds_per_step}")
        self._seconds_per_step = seconds_per_step

    def wait(self, steps: float = 1.0) -> None:
        """Sleep for that many steps, in slices short enough that a signal is acted upon at once."""
        deadline = time.monotonic() + steps * self._seconds_per_step
        while (seconds_left := deadline - time.monotonic()) > 0:
            time.sleep(min(seconds_left, SLICE_SECONDS))
