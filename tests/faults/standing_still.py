"""Processes that are stopped, but never with a lock of SQLite in their hands: nobody could write until they go on."""

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil

from tests.conftest import wait_until
from tests.stack import Stack, is_alive

# For whoever else writes meanwhile to come to an end; if that was too short, it is tried again.
LOCK_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 0.1
STOPPED = "T"


@contextmanager
def standing_still(process: psutil.Process, *databases: Path) -> Iterator[None]:
    """Stop a process for as long as a block runs."""
    stop(process, *databases)
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def stop(process: psutil.Process, *databases: Path) -> None:
    """A process that ends meanwhile has let go of everything."""
    while is_alive(process):
        with suppress(psutil.NoSuchProcess):
            process.suspend()
        wait_until(lambda: _is_stopped(process) or not is_alive(process), what=f"the halt of {process}")
        # There is no file where the database is a server's: that holds no more than rows.
        if all(_takes_writes(database) for database in databases if database.exists()):
            return
        with suppress(psutil.NoSuchProcess):
            process.resume()
        # Never the same, or it might be met at the same place of its turn again and again.
        time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))


def database_of(stack: Stack) -> Path:
    return stack.data_dir / "isengard.sqlite3"


def _is_stopped(process: psutil.Process) -> bool:
    """A signal stops a thread that is in the kernel only when it comes back from there."""
    threads = Path("/proc", str(process.pid), "task").iterdir()
    with suppress(FileNotFoundError, ProcessLookupError):
        return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == STOPPED for thread in threads)
    return False


def _takes_writes(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    return True
