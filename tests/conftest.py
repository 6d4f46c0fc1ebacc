"""What every test has: a private Valkey, and rate limits that start anew."""

import os
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management.commands import flush
from django.db.backends.base.base import BaseDatabaseWrapper
from redis.exceptions import RedisError

from isengard.supervisor.valkey import answers_ping, prepare_socket_directory, valkey_argv

if TYPE_CHECKING:
    from tests.api_client import Api
    from tests.stack import Stack

T = TypeVar("T")

STACK_TIMEOUT_SECONDS = 360


def wait_until(condition: Callable[[], T], *, seconds: float = 60.0, what: str = "the condition") -> T:
    """Return the first true value of `condition()`; fail with `what` after `seconds`.

    The last look begins after that time: what came true while this process stood still is seen.
    """
    deadline = time.monotonic() + seconds
    is_last = False
    while not is_last:
        is_last = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


def cpu_seconds(act: Callable[[], object]) -> float:
    """Return the CPU time that `act` takes: the least of three, as garbage may be collected in any of them."""

    def measured() -> float:
        begun = time.thread_time()
        act()
        return time.thread_time() - begun

    return min(measured() for _ in range(3))


@pytest.fixture(scope="session", autouse=True)
def valkey() -> Iterator[Path]:
    """A real server on the socket that the settings name."""
    socket = settings.REDIS_SOCKET
    prepare_socket_directory(socket)
    keep_in = Path(settings.DATA_DIR, "redis")
    keep_in.mkdir(parents=True, exist_ok=True)
    # Nothing in it outlives the tests, and a slow disk may not hold up its answers.
    argv = [*valkey_argv(listen_on=socket, keep_in=keep_in), "--appendfsync", "no"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers_ping(socket), what="Valkey's answer")
        yield socket
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Stack"]:
    """One running Isengard, as `make run` starts it, for all tests that need one; each makes characters of its own."""
    from tests.stack import Stack

    running = Stack(tmp_path_factory.mktemp("stack") / "data")
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def api(stack: "Stack") -> "Api":
    from tests.api_client import Api

    return Api(stack.url)


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> None:
    """Make users without the slowness that protects real passwords: a quarter of a second each."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


# What a migration or Django itself writes, and no test changes.
KEPT_TABLES = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


@pytest.fixture(scope="session", autouse=True)
def _quick_flushes() -> Iterator[None]:
    """Leave groups and permissions when a test's rows are deleted: to write them anew takes longer than most tests."""

    def rows_of_tests(style: object, connection: BaseDatabaseWrapper, **options: bool) -> list[str]:
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
        return connection.ops.sql_flush(style, tables - KEPT_TABLES, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", rows_of_tests)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_: None)
        yield


@pytest.fixture(autouse=True)
def _fresh_rate_limits(valkey: Path) -> None:
    wait_until(_is_cache_cleared, what="an empty cache")


def _is_cache_cleared() -> bool:
    """Empty the cache. It is given a second for that, and on a busy machine that may not do."""
    try:
        cache.clear()
    except RedisError:
        return False
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time to those that start the whole of Isengard, which takes minutes on a slow machine."""
    for item in items:
        if item.get_closest_marker("stack") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(STACK_TIMEOUT_SECONDS))


# A wrapper, because pytest itself counts what failed before any other plugin sees the report.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Generator[None, None, None]:
    """In CI a skip is a failure: there, everything that a test needs is installed."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("ISENGARD_FORBID_SKIPS"):
        allowed = report.keywords.get("gpu") or report.keywords.get("small_disk")
        if not allowed:
            report.outcome = "failed"
    return (yield)
