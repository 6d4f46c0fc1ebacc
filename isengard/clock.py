"""The clock of the periodic tasks, which a step of the machine's own clock does not stop."""

import time
from typing import Any

from celery.beat import Scheduler

STEP_SECONDS = 2.0


class SteadyScheduler(Scheduler):
    """Celery's own waits for as long as the clock was set back. This one keeps nothing on disk, which may be full."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._ahead_seconds = _ahead_seconds()
        super().__init__(*arguments, **options)

    def tick(self, *arguments: Any, **options: Any) -> float:
        before, self._ahead_seconds = self._ahead_seconds, _ahead_seconds()
        if abs(self._ahead_seconds - before) > STEP_SECONDS:
            self._begin_anew()
        return float(super().tick(*arguments, **options))

    def _begin_anew(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now()
        # In it are the times at which they would have been due by the clock of before.
        self._heap = None


def _ahead_seconds() -> float:
    """Return by how much the clock that can be set is ahead of the one that cannot."""
    return time.time() - time.monotonic()
