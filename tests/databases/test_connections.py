"""How a connection is configured, and that one which broke is no obstacle to the next statement."""

from collections.abc import Iterator
from pathlib import Path

import environ
import pytest
import pytest_django
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from isengard.databases.configuration import configured
from jobs.patience import is_away
from tests.conftest import wait_until
from tests.postgresql import PostgreSQL


def database(url: str) -> dict:
    return configured(environ.Env.db_url_config(url), test_database=Path("test.sqlite3"))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    server = PostgreSQL().start()
    yield server
    server.stop()


@pytest.fixture
def connection(server: PostgreSQL, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    """A connection as a worker has it."""
    chosen = database(server.url())
    chosen["OPTIONS"]["answer_seconds"] = 7
    connection = ConnectionHandler({"default": chosen})["default"]
    with django_db_blocker.unblock():
        yield connection
        connection.close()


def ask(connection: BaseDatabaseWrapper, question: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def test_the_server_ends_what_takes_too_long_and_what_was_left_in_the_middle(connection: BaseDatabaseWrapper) -> None:
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    assert [ask(connection, f"SHOW {name}") for name in names] == ["7s", "7s", "1min"]


def test_a_connection_that_broke_is_opened_anew_by_the_next_statement(
    connection: BaseDatabaseWrapper, server: PostgreSQL
) -> None:
    pid = ask(connection, "SELECT pg_backend_pid()")
    with server.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
    with pytest.raises(OperationalError):
        ask(connection, "SELECT 1")
    assert ask(connection, "SELECT 1") == 1


def test_a_transaction_that_was_left_for_too_long_tells_that_the_server_is_away(
    connection: BaseDatabaseWrapper, server: PostgreSQL
) -> None:
    # A client that reads the answer to BEGIN only after that time reads the server's words with it, and drops them.
    told = (told_after_a_pause(connection, server, milliseconds) for milliseconds in (50, 1000, 10_000))
    words = next(error for error in told if "idle-in-transaction" in str(error))
    assert is_away(words)
    assert ask(connection, "SELECT 1") == 1


def told_after_a_pause(connection: BaseDatabaseWrapper, server: PostgreSQL, milliseconds: int) -> OperationalError:
    """Leave a transaction for longer than so long; return what the next statement is told."""
    pid = ask(connection, "SELECT pg_backend_pid()")
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
        cursor.execute("BEGIN")
    # Meanwhile it is as frozen as a worker can be.
    with server.connect() as other:
        alive = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        wait_until(lambda: other.execute(alive, [pid]).fetchone() is None, what="the end of the session")
    with pytest.raises(OperationalError) as told:
        ask(connection, "SELECT 1")
    return told.value


def test_a_server_that_takes_no_writes_is_away_and_the_next_statement_asks_anew(
    connection: BaseDatabaseWrapper,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    with pytest.raises(OperationalError, match="read-only") as told, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE never (id int)")
    assert is_away(told.value)
    assert ask(connection, "SHOW default_transaction_read_only") == "off"


def test_options_in_the_url_go_before_ours() -> None:
    options = database("postgres://a@b/c?connect_timeout=3&sslmode=require")["OPTIONS"]
    assert (options["connect_timeout"], options["sslmode"], options["keepalives"]) == (3, "require", 1)


def test_another_kind_of_database_is_refused_in_words() -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL must begin with sqlite:/// or postgres://"):
        database("mysql://a@b/c")
