"""The servers outside of Isengard that a run has for itself: Redis, ComfyUI, PostgreSQL. What is killed comes back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from isengard.supervisor.linux import signal_at_parents_death
from isengard.supervisor.valkey import valkey_argv
from tests.faults.proxy import Upstream
from tests.postgresql import PostgreSQL
from tests.stack import ROOT, free_port


def die_with_the_run() -> None:
    signal_at_parents_death(signal.SIGKILL)


def family_of(pid: int) -> list[psutil.Process]:
    """Return the process and all below it, in the order of their numbers; nothing if it is gone."""
    with suppress(psutil.Error):
        main = psutil.Process(pid)
        return [main, *sorted(main.children(recursive=True), key=lambda process: process.pid)]
    return []


@dataclass
class Service:
    """A server process in a group of its own."""

    name: str
    port: int
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    start_at: float = 0.0
    process: subprocess.Popen[bytes] | None = None

    @property
    def upstream(self) -> Upstream:
        return ("127.0.0.1", self.port)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        environment = os.environ | self.environment
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Whoever ends the run ends this too, however hard.
                preexec_fn=die_with_the_run,
            )

    def keep(self) -> None:
        """Start it again once its time has come."""
        if not self.is_running and time.monotonic() >= self.start_at:
            self.start_at = time.monotonic() + 1.0
            self.start()

    def processes(self) -> list[psutil.Process]:
        return family_of(self.process.pid) if self.process is not None and self.is_running else []

    def kill(self, *, seconds_away: float) -> None:
        """End the whole group at once, as a power cut would."""
        self.start_at = time.monotonic() + seconds_away
        self.signal(signal.SIGKILL)

    def tell_to_stop(self, *, seconds_away: float) -> Callable[[], None]:
        """Return what has to be done after so many seconds, if it still lives then."""
        self.start_at = time.monotonic() + seconds_away
        self.signal(signal.SIGTERM)
        told = self.process
        return lambda: self.signal(signal.SIGKILL) if self.process is told and self.is_running else None

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def stop(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.signal(signal.SIGKILL)
            self.process.wait()


def redis_service(folder: Path) -> Service:
    keep_in = folder / "redis"
    keep_in.mkdir(parents=True)
    port = free_port()
    argv = list(valkey_argv(listen_on=keep_in / "valkey.sock", keep_in=keep_in))
    argv[argv.index("--port") + 1] = str(port)
    return Service("redis", port, argv, folder / "redis.log")


def comfyui_service(folder: Path, name: str, *, loras: Path, step_seconds: str) -> Service:
    port = free_port()
    base = folder / name
    argv = [sys.executable, "-m", "generation.engines.simulator", "--listen", "127.0.0.1", "--port", str(port)]
    argv += ["--base-directory", str(base), "--lora-directory", str(loras)]
    environment = {"ISENGARD_SIMULATOR_STEP_SECONDS": step_seconds}
    return Service(name, port, argv, folder / f"{name}.log", environment)


class Database:
    """A PostgreSQL server, as a `Service` in all that a run does to it."""

    name = "postgresql"

    def __init__(self) -> None:
        self._server = PostgreSQL()
        self._is_started = False
        self._start_at = 0.0

    @property
    def upstream(self) -> Upstream:
        return self._server.folder / ".s.PGSQL.5432"

    @property
    def url(self) -> str:
        return self._server.url()

    @property
    def is_running(self) -> bool:
        return self._is_started

    def start(self) -> None:
        self._server.start()
        self._is_started = True

    def keep(self) -> None:
        if not self._is_started and time.monotonic() >= self._start_at:
            self.start()

    def processes(self) -> list[psutil.Process]:
        return family_of(self._server.pid) if self._is_started else []

    def kill(self, *, seconds_away: float) -> None:
        self._start_at = time.monotonic() + seconds_away
        if self._is_started:
            self._is_started = False
            self._server.kill()

    def tell_to_stop(self, *, seconds_away: float) -> Callable[[], None]:
        """Return what has to be done after so many seconds: it waits for its clients, and takes no more of them."""
        told = self._server.pid
        os.kill(told, signal.SIGTERM)
        return lambda: self.kill(seconds_away=0.0) if self._is_started and self._server.pid == told else None

    def signal(self, number: signal.Signals) -> None:
        if self._is_started:
            self._server.signal_all(number)

    def stop(self) -> None:
        self.signal(signal.SIGCONT)
        self._server.stop()


AnyService = Service | Database
