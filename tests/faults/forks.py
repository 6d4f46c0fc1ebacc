"""Workers by the dozen: forks of a program that has loaded everything, killed or stopped at a chosen moment.

A fork that is killed costs milliseconds, where a worker that is started anew costs seconds.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a fork: `ended` is "exited 0", killed or stopped; `effects` is what it did (see `effects`)."""

    ended: str
    pid: int
    effects: list[str]


class Forks:
    """The program. It works on the tests' database and Redis, and in a data directory of its own."""

    def __init__(self, data_dir: Path) -> None:
        own = {"DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL, "ISENGARD_DATA_DIR": str(data_dir)}
        own["ISENGARD_RATE_LIMITS"] = "off"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forked_worker"],
            cwd=ROOT,
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fork(self, role: str, kind: str = "", *, at: int = 0, by: signal.Signals = signal.SIGKILL) -> Fate:
        """Let a fork play a role, send it `by` just before its effect number `at`, from 1, and tell its fate."""
        return self._ask({"role": role, "kind": kind, "at": at, "by": int(by)})

    def resume(self, stopped: Fate) -> Fate:
        """Let a stopped fork go on, to its end."""
        return self._ask({"resume": stopped.pid})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.communicate(timeout=60)

    def _ask(self, wish: Mapping[str, object]) -> Fate:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the program that forks has died"
        return Fate(**json.loads(answer))


def database_url() -> str:
    """Name the tests' database to another process."""
    described = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{described['NAME']}"
    host = str(described["HOST"]).replace("/", "%2F")
    port = f":{described['PORT']}" if described["PORT"] else ""
    return f"postgres://{described['USER']}:{described['PASSWORD']}@{host}{port}/{described['NAME']}"
