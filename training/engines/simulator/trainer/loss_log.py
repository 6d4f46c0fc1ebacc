"""Loss and learning rate in `loss_log.db`, written in batches as the UI's logger does."""

import sqlite3
import time
from pathlib import Path

FLUSH_SECONDS = 0.25
FLUSH_ROWS = 256

_SCHEMA = """
CREATE TABLE IF NOT EXISTS steps (step INTEGER PRIMARY KEY, wall_time REAL NOT NULL);
CREATE TABLE IF NOT EXISTS metric_keys (key TEXT PRIMARY KEY, first_seen_step INTEGER, last_seen_step INTEGER);
CREATE TABLE IF NOT EXISTS metrics (
    step INTEGER NOT NULL REFERENCES steps(step) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value_real REAL,
    value_text TEXT,
    PRIMARY KEY (step, key)
);
"""


class Unlogged:
    """What a training without the UI's logger writes to."""

    def log(self, step: int, metrics: dict[str, float]) -> None:
        pass

    def finish(self) -> None:
        pass


class LossLog(Unlogged):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._steps: list[tuple[int, float]] = []
        self._metrics: list[tuple[int, str, float]] = []
        self._flushed_at = time.monotonic()

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Note the metrics; what an earlier run logged after the first step of this one goes."""
        connection = self._connection or self._open(step)
        self._steps.append((step, time.time()))
        self._metrics += [(step, key, value) for key, value in metrics.items()]
        is_due = time.monotonic() - self._flushed_at >= FLUSH_SECONDS
        if is_due or len(self._metrics) >= FLUSH_ROWS:
            self._flush(connection)

    def finish(self) -> None:
        """Write the rest. Only a training that ends well comes here: any other loses its last quarter of a second."""
        if self._connection is not None:
            self._flush(self._connection)
            self._connection.close()

    def _open(self, first_step: int) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30.0, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(_SCHEMA)
        _prune(connection, first_step)
        self._connection = connection
        return connection

    def _flush(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        connection.executemany("INSERT OR REPLACE INTO steps VALUES (?, ?)", self._steps)
        connection.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, NULL)", self._metrics)
        connection.executemany(
            "INSERT INTO metric_keys VALUES (?1, ?2, ?2) ON CONFLICT(key) DO UPDATE"
            " SET first_seen_step = MIN(first_seen_step, ?2), last_seen_step = MAX(last_seen_step, ?2)",
            [(key, step) for step, key, _ in self._metrics],
        )
        connection.execute("COMMIT")
        self._steps, self._metrics = [], []
        self._flushed_at = time.monotonic()


def _prune(connection: sqlite3.Connection, first_step: int) -> None:
    connection.execute("BEGIN")
    connection.execute("DELETE FROM steps WHERE step > ?", (first_step,))
    connection.execute("DELETE FROM metric_keys WHERE key NOT IN (SELECT key FROM metrics)")
    connection.execute(
        "UPDATE metric_keys SET last_seen_step = (SELECT MAX(step) FROM metrics WHERE metrics.key = metric_keys.key)"
    )
    connection.execute("COMMIT")
