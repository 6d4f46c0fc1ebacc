"""A process that tests stop holds no lock meanwhile, whenever it is stopped."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil

from tests.conftest import wait_until
from tests.faults.standing_still import standing_still

# It has the lock most of the time.
WRITER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
print(flush=True)
while True:
    database.execute("BEGIN IMMEDIATE")
    time.sleep(0.02)
    database.execute("ROLLBACK")
    time.sleep(0.01)
"""


def test_whoever_stands_still_lets_others_write_and_goes_on_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "database"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    try:
        writer.stdout.readline()
        process = psutil.Process(writer.pid)
        with standing_still(process, path):
            assert process.status() == psutil.STATUS_STOPPED
            with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
                database.execute("BEGIN IMMEDIATE")
        wait_until(lambda: process.status() != psutil.STATUS_STOPPED, what="the end of its rest")
    finally:
        writer.kill()
        writer.communicate()
