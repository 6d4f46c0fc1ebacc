"""The database in which ai-toolkit logs loss and learning rate of each step."""

import math
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_NEWEST = """
SELECT step, key, value_real FROM metrics
WHERE step = (SELECT MAX(step) FROM steps) AND key IN ('loss/loss', 'learning_rate')
"""


@dataclass(frozen=True, slots=True)
class LossPoint:
    """`step` counts from 0, as ai-toolkit logs it: the point of step 4 is known when five steps are done."""

    step: int
    loss: float | None
    learning_rate: float | None
    has_diverged: bool


def newest_loss(path: Path) -> LossPoint | None:
    """Return None while there is nothing to read: before the first step, and in the moment of the file's making."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            rows = connection.execute(_NEWEST).fetchall()
    except sqlite3.OperationalError:
        return None
    return _point(rows) if rows else None


def _point(rows: list[tuple[int, str, float | None]]) -> LossPoint:
    values = {key: value for _, key, value in rows}
    loss = _finite(values.get("loss/loss"))
    # SQLite keeps a NaN as NULL, so a logged loss without a value is one.
    has_diverged = "loss/loss" in values and loss is None
    return LossPoint(rows[0][0], loss, _finite(values.get("learning_rate")), has_diverged)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
