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

from isengard.supervisor.valkey import answers_ping, prepare_socket_directory, valkey_argv

if TYPE_CHECKING:
    from tests.api_client import Api
    from tests.stack import Stack

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, seconds: float = 20.0, what: str = "the condition") -> T:
    """Return the first true value of `condition()`; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


@pytest.fixture(scope="session", autouse=True)
def valkey() -> Iterator[Path]:
    """A real server on the socket that the settings name."""
    socket = settings.REDIS_SOCKET
    prepare_socket_directory(socket)
    keep_in = Path(settings.DATA_DIR, "redis")
    keep_in.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(valkey_argv(listen_on=socket, keep_in=keep_in), stdout=subprocess.DEVNULL)
    wait_until(lambda: answers_ping(socket), what="Valkey's answer")
    yield socket
    process.terminate()
    process.wait(10)


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


@pytest.fixture(autouse=True)
def _fresh_rate_limits(valkey: Path) -> None:
    cache.clear()


# A wrapper, because pytest itself counts what failed before any other plugin sees the report.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Generator[None, None, None]:
    """In CI a skip is a failure: there, everything that a test needs is installed."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("ISENGARD_FORBID_SKIPS"):
        allowed = report.keywords.get("gpu") or report.keywords.get("small_disk")
        if not allowed:
            report.outcome = "failed"
    return (yield)
