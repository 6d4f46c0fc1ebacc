"""A database that does what it is asked and dies before it says so; and one that somebody has locked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

Condition = Callable[[], bool]


@contextmanager
def unanswered_commit(once: Condition) -> Iterator[None]:
    """Lose the answer to the first commit after which `once` holds."""
    commit, is_lost = connection.commit, []

    def lose_the_answer() -> None:
        commit()
        has_come = not is_lost and once()
        # Looking has begun another transaction.
        connection.rollback()
        if has_come:
            is_lost.append(True)
            raise OperationalError("the server ended the connection")

    connection.commit = lose_the_answer
    try:
        yield
    finally:
        connection.commit = commit
    assert is_lost, "there was no such commit"


@contextmanager
def unanswered_statement(beginning: str, *, naming: str) -> Iterator[None]:
    """Lose the answer to the first statement of that beginning that names the column."""
    is_lost = []

    def lose_the_answer(execute: Callable[..., Any], sql: str, *how: Any) -> Any:
        answer = execute(sql, *how)
        if not is_lost and sql.startswith(beginning) and naming in sql.split(" WHERE ")[0]:
            is_lost.append(True)
            raise OperationalError("the server ended the connection")
        return answer

    with connection.execute_wrapper(lose_the_answer):
        yield
    assert is_lost, "there was no such statement"


class Lock:
    """What keeps everybody else from the jobs, until it is released."""

    def __init__(self) -> None:
        self._connection: BaseDatabaseWrapper = connection.copy()
        self._connection.inc_thread_sharing()

    def take(self) -> None:
        statements = {"sqlite": ["BEGIN EXCLUSIVE"], "postgresql": ["BEGIN", "LOCK TABLE jobs_job"]}
        with self._connection.cursor() as cursor:
            for statement in statements[connection.vendor]:
                cursor.execute(statement)

    def release(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Lock":
        self.take()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()
