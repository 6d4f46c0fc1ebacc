"""Counts what a process does to the world, and ends or stops the process at a moment that was asked for.

The state that others find can change only at such an effect, so a process that was killed before each of them in turn
was killed between any two lines. `install` once, then `arm`.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from redis.client import Redis

_ON_FILES = frozenset({"os.rename", "os.remove", "os.rmdir", "os.link"})
_TELLING = frozenset({"LPUSH", "XADD"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

_lock = threading.Lock()
_at: int | None = None
_signal = signal.SIGKILL
_spares_transactions = False
_trace = -1
_count = 0


def install() -> None:
    """Watch files, the database and Redis from now on."""
    sys.addaudithook(_note_file)
    connection_created.connect(_watch, weak=False)
    _watch(connection=connection)
    _watch_commits()
    _watch_redis()


def arm(at: int, *, by: signal.Signals, trace: int) -> None:
    """Send this process `by` just before its effect number `at`, from 1; 0: never.

    SIGSTOP comes only outside of transactions: who stops inside of one keeps all others from writing. Each effect is
    written to the descriptor `trace`, a line each.
    """
    global _at, _signal, _spares_transactions, _trace, _count
    _at, _signal, _spares_transactions, _trace, _count = at, by, by == signal.SIGSTOP, trace, 0


def _effect(what: str) -> None:
    global _count
    if _at is None or (_spares_transactions and connection.in_atomic_block):
        return
    with _lock:
        _count += 1
        os.write(_trace, f"{what}\n".encode())
        is_time = _count == _at
    if is_time:
        os.kill(os.getpid(), _signal)


def _note_file(event: str, arguments: tuple[Any, ...]) -> None:
    path = arguments[0] if arguments else None
    if not isinstance(path, str | bytes) or not _is_seen_by_others(os.fsdecode(path)):
        return
    if event == "open":
        is_effect = isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)
    else:
        # A temporary file that was renamed is not there any more when it is to be removed.
        is_effect = event in _ON_FILES and os.path.lexists(path)
    if is_effect:
        _effect(f"{event} {Path(os.fsdecode(path)).name}")


def _is_seen_by_others(path: str) -> bool:
    """Return whether it is a stored file, or a workspace as a whole."""
    root = f"{settings.MEDIA_ROOT}/"
    parts = path.removeprefix(root).split("/")
    return path.startswith(root) and (parts[0] != "workspaces" or len(parts) == 2)


def _watch(*, connection: Any, **_: object) -> None:
    if _note_statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(_note_statement)


def _note_statement(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    words = sql.split()
    # To be killed before a transaction begins is to be killed before it is committed.
    harmless = ("SELECT", "PRAGMA") if _spares_transactions else ("SELECT", "PRAGMA", "BEGIN")
    if not context["connection"].in_atomic_block and words[0].upper() not in harmless:
        _effect(" ".join(words[:3]))
    return execute(sql, params, many, context)


def _watch_commits() -> None:
    commit = BaseDatabaseWrapper._commit

    def noted_commit(self: BaseDatabaseWrapper) -> Any:
        # Django counts itself out of the transaction before it commits.
        if not _spares_transactions:
            _effect("COMMIT")
        return commit(self)

    BaseDatabaseWrapper._commit = noted_commit  # type: ignore[method-assign]


def _watch_redis() -> None:
    execute = Redis.execute_command

    def noted_execute(self: Redis, *arguments: Any, **options: Any) -> Any:
        if arguments[0] in _TELLING:
            _effect(f"redis {arguments[0]}")
        return execute(self, *arguments, **options)

    Redis.execute_command = noted_execute  # type: ignore[method-assign]
