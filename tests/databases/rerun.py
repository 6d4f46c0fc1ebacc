"""Tests run a second time, on PostgreSQL."""

import os
import subprocess
import sys

import pytest

from tests.environment import WANTS_POSTGRESQL
from tests.stack import ROOT

# Far more than the tests that are listed take on a busy machine; each has its own, shorter limit.
LIMIT_SECONDS = 1500
SHOWN_CHARACTERS = 12_000


def pass_on_postgresql(*files: str, but_for: tuple[str, ...] = ()) -> None:
    """Run the tests of `files`, below `tests/`, without those `but_for` these; fail with what pytest says of them."""
    if WANTS_POSTGRESQL:
        pytest.skip("all tests run on PostgreSQL already")
    # The whole stack has its own story on PostgreSQL, in `tests/faults/test_database_faults.py`.
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not stack"]
    if but_for:
        argv += ["-k", f"not ({' or '.join(but_for)})"]
    # What the plugins of this process wrote there is about this process.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        [*argv, *(f"tests/{file}" for file in files)],
        cwd=ROOT,
        env={**kept, "ISENGARD_TEST_DATABASE": "postgresql"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if ran.returncode:
        pytest.fail(f"on PostgreSQL:\n{ran.stdout[-SHOWN_CHARACTERS:]}", pytrace=False)
