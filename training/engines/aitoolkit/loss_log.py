"""The database in which ai-toolkit logs loss and learning rate of each step."""

import math
import sqlite3
from contextlib import closing
from pathlib import Path

from jobs.events import Loss

# A look must not hold up the run: what is left over comes with the next one.
STEPS_PER_LOOK = 1000
# A loss that is no number is a row whose value is NULL. A step of which only other things are known is no news.
_NEXT = """
SELECT step,
       MAX(CASE key WHEN 'loss/loss' THEN value_real END),
       MAX(CASE key WHEN 'learning_rate' THEN value_real END)
FROM metrics
WHERE step > ? AND key IN ('loss/loss', 'learning_rate')
GROUP BY step HAVING MAX(key = 'loss/loss')
ORDER BY step LIMIT ?
"""


class LossLog:
    """Reads on where it stopped.

    The trainer counts steps from 0 and logs a step together with its metrics; told is how many steps were completed.
    The step that a run starts with is never logged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_index = -1

    def read(self) -> list[Loss]:
        """Return the next points, at most STEPS_PER_LOOK; none while there is no log yet, or it is just being made."""
        points = [_point(*row) for row in self._rows()]
        if points:
            self._last_index = points[-1].step - 1
        return points

    def read_rest(self) -> list[Loss]:
        points: list[Loss] = []
        while more := self.read():
            points += more
        return points

    def _rows(self) -> list[tuple[int, float | None, float | None]]:
        if not self._path.exists():
            return []
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
                return connection.execute(_NEXT, (self._last_index, STEPS_PER_LOOK)).fetchall()
        except sqlite3.DatabaseError:
            # A curve with a hole is no reason to end a training.
            return []


def _point(index: int, loss: float | None, learning_rate: float | None) -> Loss:
    # Of a loss that is no number ai-toolkit goes on with a zero, and logs that: a real loss is never exactly zero.
    return Loss(step=index + 1, loss=_finite(loss) or None, learning_rate=_finite(learning_rate))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
