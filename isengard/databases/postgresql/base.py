"""PostgreSQL through Django's own backend: each wait has an end, and a broken connection is opened anew."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

# The server ends a statement that takes too long; if it does not do that either, it is not there any more.
GRACE_SECONDS = 2.0
# libpq knows no shorter one.
SHORTEST_CONNECT_SECONDS = 2
USABLE_SECONDS = 2.0
# Whoever is stopped in the middle of a transaction holds up the others for no longer than this.
IDLE_IN_TRANSACTION_SECONDS = 60.0
# A worker was frozen for longer than that, or the server has become a standby. Django tells both as internal errors;
# but the server is away for this connection, and a new one may do.
ENDED_BY_SERVER = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.ReadOnlySqlTransaction)
SET_BOUNDS = """
    SELECT set_config('lock_timeout', %s, false),
           set_config('statement_timeout', %s, false),
           set_config('idle_in_transaction_session_timeout', %s, false)
"""


class ImpatientConnection(psycopg.Connection[Any]):
    """Gives a server up that says nothing for `answer_seconds`: one that was stopped, or cut off, never would."""

    answer_seconds: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return self._wait_for_answer(gen, interval, timeout)
        except ENDED_BY_SERVER as exc:
            self.pgconn.finish()
            raise psycopg.OperationalError(str(exc)) from exc

    def _wait_for_answer(self, gen: Any, interval: float, timeout: float | None) -> Any:
        if timeout is not None or self.answer_seconds is None:
            return super().wait(gen, interval, timeout)
        until = time.monotonic() + self.answer_seconds
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except psycopg.OperationalError as exc:
            if time.monotonic() < until or self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            words = f"the server did not answer within {self.answer_seconds:g} s"
            raise psycopg.OperationalError(words) from exc


class DatabaseWrapper(base.DatabaseWrapper):
    _patience_seconds: float | None = None

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        params.pop("answer_seconds", None)
        seconds = self._statement_seconds if self._patience_seconds is None else self._patience_seconds
        if seconds is not None:
            bound = max(SHORTEST_CONNECT_SECONDS, math.ceil(seconds / 2))
            params["connect_timeout"] = min(bound, int(params["connect_timeout"]))
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        # Django does not ask which class of connection it shall open.
        connection.__class__ = ImpatientConnection
        connection.answer_seconds = self._answer_seconds
        return connection

    def init_connection_state(self) -> None:
        super().init_connection_state()
        if self._statement_seconds is not None and self.connection is not None:
            bound = f"{round(self._statement_seconds * 1000)}ms"
            with self.connection.cursor() as cursor:
                cursor.execute(SET_BOUNDS, [bound, bound, f"{IDLE_IN_TRANSACTION_SECONDS:.0f}s"])
            if not self.get_autocommit():
                self.connection.commit()

    def ensure_connection(self) -> None:
        """Open the connection, also one that broke.

        Django leaves that to the end of a request, and a run has none for hours.
        """
        if self.connection is not None and self.connection.closed and not self.in_atomic_block:
            self.close()
        super().ensure_connection()

    def is_usable(self) -> bool:
        with self.patience(min(USABLE_SECONDS, self._answer_seconds or USABLE_SECONDS)):
            return bool(super().is_usable())

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Give the server up when it does not answer for so long."""
        before, self._patience_seconds = self._patience_seconds, seconds
        self._tell_connection()
        try:
            yield
        finally:
            self._patience_seconds = before
            self._tell_connection()

    def _tell_connection(self) -> None:
        if isinstance(self.connection, ImpatientConnection):
            self.connection.answer_seconds = self._answer_seconds

    @property
    def _statement_seconds(self) -> float | None:
        seconds: float | None = self.settings_dict["OPTIONS"].get("answer_seconds")
        return seconds

    @property
    def _answer_seconds(self) -> float | None:
        if self._patience_seconds is not None:
            return self._patience_seconds
        return None if self._statement_seconds is None else self._statement_seconds + GRACE_SECONDS
