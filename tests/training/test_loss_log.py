"""The trainer's loss log as it is read: all of it, once, with steps counted as people count them."""

import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jobs.events import Loss
from training.engines.aitoolkit import loss_log
from training.engines.aitoolkit.loss_log import LossLog

TABLES = """
CREATE TABLE steps (step INTEGER PRIMARY KEY, wall_time REAL NOT NULL);
CREATE TABLE metrics (step INTEGER, key TEXT, value_real REAL, value_text TEXT, PRIMARY KEY (step, key));
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    # Characters that mean something in the address by which SQLite opens a file.
    path = tmp_path / "a#b?.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(TABLES)
    return path


def log(path: Path, *rows: tuple[int, float | None]) -> None:
    """Log as the trainer does: steps from 0, a step and its metrics at once, NaN becoming NULL."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for index, loss in rows:
            connection.execute("INSERT INTO steps VALUES (?, 0)", (index,))
            connection.execute("INSERT INTO metrics VALUES (?, 'loss/loss', ?, NULL)", (index, loss))
            connection.execute("INSERT INTO metrics VALUES (?, 'learning_rate', 0.5, NULL)", (index,))


def told(*rows: tuple[int, float | None]) -> list[Loss]:
    return [Loss(step=step, loss=loss, learning_rate=0.5) for step, loss in rows]


def test_a_step_is_told_as_the_number_of_steps_that_are_done(path: Path) -> None:
    log(path, (1, 0.5), (2, 0.25))
    assert LossLog(path).read() == told((2, 0.5), (3, 0.25))


def test_each_point_is_told_once(path: Path) -> None:
    reading = LossLog(path)
    log(path, (1, 0.5))
    assert reading.read() == told((2, 0.5))
    assert reading.read() == []
    log(path, (2, 0.4), (4, 0.3))
    assert reading.read() == told((3, 0.4), (5, 0.3))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, 0.0])
def test_a_loss_that_is_no_finite_number_is_told_as_unknown(path: Path, value: float | None) -> None:
    log(path, (1, value))
    assert LossLog(path).read() == told((2, None))


def test_a_look_is_bounded_and_the_rest_comes_with_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_log, "STEPS_PER_LOOK", 2)
    log(path, *[(index, 0.5) for index in range(1, 6)])
    reading = LossLog(path)
    assert [[point.step for point in reading.read()] for _ in range(4)] == [[2, 3], [4, 5], [6], []]
    assert [point.step for point in LossLog(path).read_rest()] == [2, 3, 4, 5, 6]


def test_what_else_is_logged_is_no_point(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO metrics VALUES (1, 'learning_rate', 0.5, NULL)")
        connection.execute("INSERT INTO metrics VALUES (1, 'loss/other', 0.5, NULL)")
    log(path, (2, 0.5))
    assert LossLog(path).read() == told((3, 0.5))


def test_a_log_that_is_not_there_or_not_made_yet_is_no_error(tmp_path: Path) -> None:
    reading = LossLog(tmp_path / "loss.db")
    assert reading.read() == []
    (tmp_path / "loss.db").touch()
    assert reading.read() == []
    (tmp_path / "loss.db").write_bytes(b"not a database, but long enough to have a header of one" * 100)
    assert reading.read_rest() == []


def test_a_trainer_that_was_killed_leaves_a_log_that_can_be_read(path: Path) -> None:
    # Not closed: the points are still in the write-ahead log, as after a SIGKILL.
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("INSERT INTO metrics VALUES (1, 'loss/loss', 0.5, NULL)")
    assert [point.step for point in LossLog(path).read()] == [2]
    writer.close()


def test_reading_never_waits_for_the_trainer_and_never_holds_it_up(path: Path) -> None:
    log(path, (1, 0.5))
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as trainer:
        trainer.execute("BEGIN IMMEDIATE")
        assert LossLog(path).read() == told((2, 0.5))
        trainer.execute("COMMIT")
