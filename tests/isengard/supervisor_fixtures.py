"""Starts a supervisor as a real process, and looks at what it says and at what runs because of it."""

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from tests.stack import is_alive

PROJECT_DIRECTORY = Path(__file__).resolve().parents[2]
# A machine may stand still for seconds; where all is well, nobody waits so long.
PATIENCE_SECONDS = 60.0
# In the environment of the supervisor under test, and so of everything that it starts.
MARK = "ISENGARD_TEST_MARK"


def eventually(
    is_true: Callable[[], bool], *, within_seconds: float = PATIENCE_SECONDS, otherwise: Callable[[], str] = str
) -> float:
    """Wait until `is_true`; return how many seconds that took."""
    begin = time.monotonic()
    while not is_true():
        assert time.monotonic() - begin < within_seconds, f"not within {within_seconds} s: {otherwise()}"
        time.sleep(0.02)
    return time.monotonic() - begin


class SupervisorRun:
    def __init__(self, arguments: list[str], log_path: Path, environment: dict[str, str] | None = None) -> None:
        self.mark = uuid.uuid4().hex
        self._log_path = log_path
        self._seen_at_exit: list[psutil.Process] = []
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                arguments,
                cwd=PROJECT_DIRECTORY,
                env={**_neutral_environment(), MARK: self.mark, **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def wait_for_line(self, text: str, *, within_seconds: float = PATIENCE_SECONDS, times: int = 1) -> float:
        def is_said() -> bool:
            return self.log.count(text) >= times

        return eventually(is_said, within_seconds=within_seconds, otherwise=lambda: self.log)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process:
        """Return the one process below the supervisor that has `words` in its command line, as soon as it is there."""
        seen: list[psutil.Process] = []

        def is_there() -> bool:
            # A second look might miss it: a process has no command line while it becomes another program.
            seen[:] = self.children(words)
            return len(seen) == 1

        eventually(is_there, otherwise=lambda: self.log)
        return seen[0]

    def children(self, words: str) -> list[psutil.Process]:
        return [process for process in self.descendants() if words in " ".join(command_line(process))]

    def stop(self, *signals: signal.Signals, within_seconds: float = PATIENCE_SECONDS) -> float:
        """Send the signals to the process itself; return how many seconds the end took."""
        return self._end(os.kill, signals or (signal.SIGTERM,), within_seconds)

    def press_ctrl_c(self, *, within_seconds: float = PATIENCE_SECONDS) -> float:
        """Do what a terminal does: send SIGINT to the whole foreground group."""
        return self._end(os.killpg, (signal.SIGINT,), within_seconds)

    def _end(self, send: Callable[[int, int], None], signals: Iterable[signal.Signals], within_seconds: float) -> float:
        self._seen_at_exit = self.descendants()
        begin = time.monotonic()
        for number in signals:
            send(self.process.pid, number)
        self.process.wait(within_seconds)
        return time.monotonic() - begin

    def wait_until_nothing_is_left(self) -> None:
        """What was killed on a busy machine is there a little longer. What nobody has killed stays for minutes."""
        eventually(lambda: not self.left_behind(), otherwise=lambda: f"{self.left_behind()}\n{self.log}")

    def left_behind(self) -> list[str]:
        """Return the command lines of what is alive of all that was ever seen to belong to this run."""
        return [" ".join(command_line(process)) for process in self._survivors()]

    def _survivors(self) -> list[psutil.Process]:
        known = {process.pid: process for process in self._seen_at_exit}
        known.update({process.pid: process for process in psutil.process_iter() if self._is_marked(process)})
        return [process for process in known.values() if is_alive(process)]

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self.mark
        except (psutil.Error, OSError):
            return False

    def destroy(self) -> None:
        """End whatever is left, also after a test that failed."""
        if self.process.poll() is None:
            self._seen_at_exit = self.descendants()
            self.process.kill()
            self.process.wait()
        for survivor in self._survivors():
            with contextlib.suppress(psutil.NoSuchProcess):
                survivor.kill()


def _neutral_environment() -> dict[str, str]:
    """Return the environment without what would point this run at the servers and files of another."""
    foreign = ("ISENGARD_", "REDIS_URL", "COMFYUI_URL", "DATABASE_URL", "PORT", "HOST", "MAKE", "MFLAGS")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**own, "ISENGARD_ENV_FILE": os.devnull}


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
