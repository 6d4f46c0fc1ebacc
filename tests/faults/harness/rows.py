"""Read-only questions to the database of a run, by SQL alone: SQLite or PostgreSQL."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

AWAY = (sqlite3.Error, psycopg.Error)


@dataclass(frozen=True, slots=True)
class Rows:
    """`ask()` takes `?` for each value. Raises one of AWAY while the database does not answer."""

    ask: Callable[..., list[tuple[Any, ...]]]


def sqlite_rows(path: object) -> Rows:
    def ask(question: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(question, values).fetchall()

    return Rows(ask)


def postgresql_rows(url: str) -> Rows:
    def ask(question: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, connect_timeout=3, autocommit=True) as database:
            return database.execute(question.replace("?", "%s").encode(), values or None).fetchall()

    return Rows(ask)


def as_json(value: Any) -> Any:
    """Return what a JSON column holds: SQLite gives its text."""
    return json.loads(value) if isinstance(value, str) else value


def as_time(value: Any) -> datetime:
    """Return what a column of a moment holds: SQLite gives its text, and no zone."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
