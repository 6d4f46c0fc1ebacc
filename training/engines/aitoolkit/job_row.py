"""The row through which ai-toolkit tells its state and takes requests.

It is the one its own user interface uses, here in a database that belongs to one attempt.
"""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

# Step is a column of type INTEGER because the trainer writes every value as text, and only the affinity undoes that.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS Job (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL DEFAULT 'queued',
    info TEXT NOT NULL DEFAULT '',
    step INTEGER NOT NULL DEFAULT 0,
    speed_string TEXT NOT NULL DEFAULT '',
    stop INTEGER NOT NULL DEFAULT 0,
    return_to_queue INTEGER NOT NULL DEFAULT 0,
    save_now INTEGER NOT NULL DEFAULT 0,
    sample_now INTEGER NOT NULL DEFAULT 0
)
"""
_LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RowState:
    """`step` counts completed steps; `iteration_speed` is steps per second, None until it is known."""

    status: str
    info: str
    step: int
    iteration_speed: float | None
    is_save_pending: bool = False
    is_sample_pending: bool = False


class JobRow:
    """One row in a database of its own, open from creation to the end of the `with` block."""

    def __init__(self, path: Path, job_id: str) -> None:
        # Closing may come from the garbage collector, on any thread.
        self._connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        self._job_id = job_id
        self._create()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def read(self) -> RowState:
        status, info, step, speed, save_now, sample_now = self._connection.execute(
            "SELECT status, info, step, speed_string, save_now, sample_now FROM Job WHERE id = ?", (self._job_id,)
        ).fetchone()
        return RowState(status, info, int(step), parse_speed(speed), bool(int(save_now)), bool(int(sample_now)))

    def ask_to_save(self) -> None:
        self._connection.execute("UPDATE Job SET save_now = 1 WHERE id = ?", (self._job_id,))

    def ask_to_sample(self) -> None:
        self._connection.execute("UPDATE Job SET sample_now = 1 WHERE id = ?", (self._job_id,))

    def _create(self) -> None:
        # The trainer opens the file for every step; with a write-ahead log its writes never wait for our reads.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(_SCHEMA)
        self._connection.execute("INSERT INTO Job (id) VALUES (?) ON CONFLICT DO NOTHING", (self._job_id,))


def parse_speed(text: str) -> float | None:
    """Return steps per second from "12.73 iter/sec" or "3.10 sec/iter", None from anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) (iter/sec|sec/iter)", text.strip())
    if match is None or float(match[1]) == 0:
        return None
    rate = float(match[1])
    return rate if match[2] == "iter/sec" else 1 / rate
