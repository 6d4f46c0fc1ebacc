"""One process under supervision: its start, its output, its death, and when it may start again."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from isengard.supervisor.console import LineSplitter
from isengard.supervisor.linux import die_with_parent
from isengard.supervisor.spec import ProcessSpec

PROJECT_DIRECTORY = Path(__file__).resolve().parents[2]
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0
READ_BYTES = 64 * 1024
READS_AT_BURIAL = 64


class Child:
    """A process and what became of it. Start it from the main thread only: the kernel ties its life to that thread."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.has_been_ready = False
        self.start_at = 0.0
        self.pause_seconds = 0.0
        self._is_ready = False
        self._delay_seconds = FIRST_DELAY_SECONDS
        self._started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = LineSplitter()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_finished(self) -> bool:
        """Whether it is a one-shot that has done its work."""
        return self.spec.is_one_shot and self.has_been_ready

    @property
    def awaits_readiness(self) -> bool:
        return self.is_running and not self._is_ready and self.spec.is_ready is not None

    def start(self) -> int:
        """Start the process; return the descriptor of its output. Raises OSError when that is impossible."""
        supervisor_pid = os.getpid()

        def become_the_child() -> None:
            for name, value in self.spec.environment.items():
                os.putenv(name, value)
            if not self.spec.outlives_supervisor:
                die_with_parent(supervisor_pid)

        process = subprocess.Popen(
            self.spec.argv,
            cwd=PROJECT_DIRECTORY,
            stdin=subprocess.PIPE if self.spec.outlives_supervisor else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # The supervisor has a single thread, so nothing can hold a lock at the fork.
            preexec_fn=become_the_child,
        )
        self._process = process
        self._started_at = time.monotonic()
        self._is_ready = False
        os.set_blocking(self.output, False)
        return self.output

    @property
    def output(self) -> int:
        if self._process is None or self._process.stdout is None:
            raise ValueError(f"{self.name} does not run")
        return self._process.stdout.fileno()

    def read_lines(self) -> list[bytes] | None:
        """Return the lines that have arrived; None when there will be no more. Raises BlockingIOError: not now."""
        piece = os.read(self.output, READ_BYTES)
        return self._lines.feed(piece) if piece else None

    def _read_last_lines(self) -> list[bytes]:
        lines: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            # Bounded, because something that outlived the process may hold the pipe and go on talking.
            for _ in range(READS_AT_BURIAL):
                arrived = self.read_lines()
                if arrived is None:
                    break
                lines += arrived
        return [*lines, *filter(None, [self._lines.flush()])]

    def look_for_readiness(self) -> None:
        if self.is_running and not self.spec.is_one_shot and not self._is_ready:
            self._is_ready = self.spec.is_ready is None or self.spec.is_ready()
            self.has_been_ready |= self._is_ready

    def has_exited(self) -> bool:
        """Say whether the process has ended. It stays a zombie until `bury`, so that its number stays its own."""
        if self._process is None:
            return False
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def bury(self) -> tuple[int, list[bytes]]:
        """End what is left of its session's first group; return the exit code and the last lines of output."""
        process = self._process
        if process is None:
            raise ValueError(f"{self.name} does not run")
        self.kill()
        last_lines = self._read_last_lines()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None
        return process.wait(), last_lines

    def note_exit(self, exit_code: int) -> None:
        """Decide when it may start again: later after each quick death, soon after a long life."""
        if self.spec.is_one_shot:
            self.has_been_ready = exit_code == 0
            return
        if time.monotonic() - self._started_at >= HEALTHY_AFTER_SECONDS:
            self._delay_seconds = FIRST_DELAY_SECONDS
        self.postpone()

    def postpone(self) -> None:
        self.pause_seconds = self._delay_seconds
        self.start_at = time.monotonic() + self.pause_seconds
        self._delay_seconds = min(self._delay_seconds * 2, LONGEST_DELAY_SECONDS)

    @property
    def seconds_to_start(self) -> float:
        return max(0.0, self.start_at - time.monotonic())

    def terminate(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its group, which it leads."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
