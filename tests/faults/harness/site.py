"""One whole Isengard for a run: the supervisor's processes, the servers outside of it, and the links between them."""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import redis
import requests

from tests.conftest import wait_until
from tests.faults.harness.rows import AWAY, Rows, as_json, postgresql_rows, sqlite_rows
from tests.faults.harness.services import AnyService, Database, comfyui_service, die_with_the_run, redis_service
from tests.faults.proxy import Proxy
from tests.stack import ROOT, Stack, is_alive

STEP_SECONDS = "0.004"
START_SECONDS = 180
COMMAND_SECONDS = 120
# One training worker, and two ComfyUI servers.
SLOTS = 3
COMFYUI = ("comfyui-a", "comfyui-b")
SQLITE_NAME = "isengard.sqlite3"
# The words in a command line by which a process of the supervisor is known.
ROLES = {
    "web": ("isengard.server",),
    "training worker": ("celery", "training@"),
    "generation worker": ("celery", "generation@"),
    "maintenance worker": ("celery", "maintenance@"),
    "beat": ("celery", " beat "),
    "guard": ("isengard.supervisor.guard",),
    "trainer": ("run.py",),
}


@dataclass(frozen=True, slots=True)
class Managed:
    """How a management command ended, and all that it said."""

    code: int
    output: str


class Site:
    """Start with `start()`. `keep()` has to be called now and then: it starts again what a fault has ended."""

    def __init__(self, folder: Path, *, database: str) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.data_dir.mkdir(parents=True)
        (self.data_dir / "loras").mkdir()
        self.database = database
        self.services = self._declare_services()
        self.links = {name: Proxy(service.upstream).start() for name, service in self.services.items()}
        self.stack = self._declare_stack()
        self.links["web"] = Proxy(("127.0.0.1", self.stack.port)).start()
        self.start_at = 0.0
        self.extras: list[subprocess.Popen[bytes]] = []
        self.complaints: list[str] = []
        # What was killed or told to stop may still be there for a while, and look well.
        self._leaving: list[psutil.Process] = []

    def _declare_services(self) -> dict[str, AnyService]:
        loras = self.data_dir / "loras"
        services: list[AnyService] = [redis_service(self.folder)]
        for name in ("comfyui-a", "comfyui-b"):
            services.append(comfyui_service(self.folder, name, loras=loras, step_seconds=STEP_SECONDS))
        if self.database == "postgresql":
            services.append(Database())
        return {service.name: service for service in services}

    def _declare_stack(self) -> Stack:
        comfyui = [f"http://{self.links[name].address}" for name in ("comfyui-a", "comfyui-b")]
        settings = {
            "REDIS_URL": f"redis://{self.links['redis'].address}/0",
            "COMFYUI_URL": ",".join(f"{url}#gpu={number}" for number, url in enumerate(comfyui)),
            "ISENGARD_SIMULATOR_STEP_SECONDS": STEP_SECONDS,
            "DATABASE_URL": self._database_url(),
        }
        return Stack(self.data_dir, **settings)

    def _database_url(self) -> str:
        if self.database == "postgresql":
            return f"postgres://isengard@{self.links['postgresql'].address}/postgres"
        return f"sqlite:///{self.data_dir / SQLITE_NAME}"

    @property
    def url(self) -> str:
        """The API as customers reach it."""
        return f"http://{self.links['web'].address}"

    @property
    def comfyui_urls(self) -> list[str]:
        """The ComfyUI servers, past the links."""
        return [f"http://127.0.0.1:{self.services[name].port}" for name in COMFYUI]

    @property
    def rows(self) -> Rows:
        """Ask the database past the links, so that a cut one blinds nobody who looks from outside."""
        server = self.services.get("postgresql")
        if isinstance(server, Database):
            return postgresql_rows(server.url)
        return sqlite_rows(self.data_dir / SQLITE_NAME)

    # --- life ---

    def start(self) -> None:
        for service in self.services.values():
            service.start()
        wait_until(self._are_services_up, seconds=START_SECONDS, what="the servers outside of Isengard")
        self.launch()
        self.wait_until_up()

    def _are_services_up(self) -> bool:
        for name in ("comfyui-a", "comfyui-b"):
            with suppress(requests.RequestException):
                if requests.get(f"http://{self.links[name].address}/system_stats", timeout=2).ok:
                    continue
            return False
        return self.database != "postgresql" or self._does_database_answer("SELECT 1")

    def _does_database_answer(self, question: str) -> bool:
        try:
            return bool(self.rows.ask(question))
        except AWAY:
            return False

    def launch(self) -> None:
        """Start the supervisor, and do not wait for it."""
        with self.stack.log_path.open("ab") as log:
            argv = [sys.executable, "-m", "isengard.supervisor", "--stop-with-parent"]
            self.stack.process = subprocess.Popen(
                argv, cwd=ROOT, env=self.stack.environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_up(self) -> None:
        """Wait until the web server answers and a worker of each kind has said lately that it serves its slots."""
        wait_until(self.is_up, seconds=START_SECONDS, what=f"Isengard ({self.stack.log_path})")

    def is_up(self) -> bool:
        self.keep()
        roles = [role for role in ROLES if role not in ("guard", "trainer")]
        self._leaving = [process for process in self._leaving if is_alive(process)]
        return (
            not self._leaving
            and self.stack.is_healthy()
            and all(self.processes(role) for role in roles)
            and self._are_slots_served()
        )

    def _are_slots_served(self) -> bool:
        """Return whether a living worker has registered each slot of the site."""
        workers = {process.pid for role in ("training worker", "generation worker") for process in self.processes(role)}
        with suppress(*AWAY):
            slots = [as_json(worker) for (worker,) in self.rows.ask("SELECT worker FROM jobs_slot")]
            return sum(worker["pid"] in workers for worker in slots) == SLOTS
        return False

    @property
    def is_supervised(self) -> bool:
        return self.stack.process is not None and self.stack.process.poll() is None

    def keep(self) -> None:
        for service in self.services.values():
            service.keep()
        if not self.is_supervised and time.monotonic() >= self.start_at:
            # The port or the lock may be held for another moment by what the last one left; then it ends at once.
            self.start_at = time.monotonic() + 2.0
            self.launch()

    def stop(self) -> None:
        for extra in self.extras:
            extra.kill()
            extra.wait()
        self.stack.stop()
        for service in self.services.values():
            service.stop()
        for link in self.links.values():
            link.stop()

    # --- what can be hit ---

    def processes(self, role: str) -> list[psutil.Process]:
        """Return the processes of a role below the supervisor, in an order that does not depend on chance."""
        if role == "supervisor":
            return [psutil.Process(self.stack.process.pid)] if self.is_supervised and self.stack.process else []
        with suppress(psutil.Error):
            return sorted(self.stack.processes(*ROLES[role]), key=lambda process: process.pid)
        return []

    def note_leaving(self, processes: list[psutil.Process]) -> None:
        """Isengard is not up again before these have ended."""
        self._leaving += processes

    def manage(self, *words: str) -> Managed:
        """Run a management command as an operator would."""
        argv = [sys.executable, "manage.py", *words]
        command = subprocess.Popen(
            argv, cwd=ROOT, env=self.stack.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            output, _ = command.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            command.kill()
            output, _ = command.communicate()
        with self.stack.log_path.open("ab") as log:
            log.write(output)
        return Managed(command.returncode, output.decode(errors="replace"))

    def do_servers_answer(self) -> bool:
        """Return whether the database would take a change now and Redis answers, both as Isengard reaches them."""
        port = int(self.links["redis"].address.rpartition(":")[2])
        try:
            redis.Redis(port=port, socket_connect_timeout=2, socket_timeout=2).ping()
            if self.database == "postgresql":
                with psycopg.connect(
                    self._database_url(), connect_timeout=3, options="-c statement_timeout=2000"
                ) as it:
                    it.execute("SELECT 1")
            else:
                with closing(sqlite3.connect(self.data_dir / SQLITE_NAME, timeout=2)) as database:
                    database.execute("BEGIN IMMEDIATE")
        except (redis.RedisError, *AWAY):
            return False
        return True

    def start_extra(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start one more process of Isengard beside the supervisor's."""
        with self.stack.log_path.open("ab") as log:
            argv = [sys.executable, *words]
            extra = subprocess.Popen(
                argv,
                cwd=ROOT,
                env=self.stack.environment | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_the_run,
            )
        self.extras.append(extra)
        return extra

    def end_supervisor(self, number: signal.Signals, *, seconds_away: float) -> bool:
        """Return whether there was one."""
        if not self.is_supervised or self.stack.process is None:
            return False
        self.start_at = time.monotonic() + seconds_away
        self.note_leaving(self.processes("supervisor"))
        self.stack.process.send_signal(number)
        return True
