"""The trainer as a child process in a session of its own."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping

import psutil

from jobs.errors import EngineFailed
from training.engines.aitoolkit.limits import Limits
from training.engines.aitoolkit.process_group import kill_group, start_time_of
from training.engines.aitoolkit.workspace import Workspace
from training.engines.order import Installation, TrainingOrder

JOB_MARKER = "ISENGARD_JOB"
ATTEMPT_MARKER = "ISENGARD_ATTEMPT"
Identity = Mapping[str, str | int | float | list[str]]
_PROGRAM = "run.py"
_PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec the child of a threaded process may not even allocate memory safely.
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)


class Trainer:
    """A started trainer. Whoever holds it has to `stop` it, also after it ended by itself."""

    def __init__(self, process: subprocess.Popen[bytes], identity: Identity) -> None:
        self._process = process
        self.identity = identity

    def wait(self, seconds: float) -> int | None:
        """Return the exit status, negative for a signal, or None when it still runs after `seconds`."""
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, limits: Limits) -> None:
        """End the trainer and whatever it started; return when nothing of it is left."""
        # Only the main process is interrupted: its data loaders sit in the same group, and a loader that dies first
        # turns the orderly stop into an error.
        self._ask(signal.SIGINT, limits.interrupt_seconds)
        self._ask(signal.SIGTERM, limits.terminate_seconds)
        kill_group(self._process.pid, reap=self._process.poll)
        self._process.wait()

    def _ask(self, number: signal.Signals, seconds: float) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
            self.wait(seconds)


def spawn(order: TrainingOrder, installation: Installation, workspace: Workspace) -> Trainer:
    """Raises EngineFailed, naming the setting, when the program or its interpreter cannot be started."""
    if not (installation.directory / _PROGRAM).is_file():
        raise EngineFailed(
            f"ai-toolkit is not in {installation.directory}: set AI_TOOLKIT_DIR to the folder with run.py."
        )
    with workspace.console.open("wb") as console:
        try:
            process = subprocess.Popen(
                [installation.python, _PROGRAM, str(workspace.job_file)],
                cwd=installation.directory,
                env=_environment(order, installation),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_tie_to_parent(os.getpid()),
            )
        except OSError as exc:
            raise EngineFailed(
                f"The interpreter {installation.python} cannot be started ({exc.strerror}): check AI_TOOLKIT_PYTHON."
            ) from exc
    return Trainer(process, _identify(process, order))


def _environment(order: TrainingOrder, installation: Installation) -> dict[str, str]:
    environment = {
        "PATH": os.defpath,
        **installation.environment,
        # Otherwise prints arrive in blocks of 8 kB, minutes late.
        "PYTHONUNBUFFERED": "1",
        # Together with the database's path in the job file this makes the trainer keep its row.
        "AITK_JOB_ID": order.job_id,
        # Spares the log a block of timings every ten steps.
        "IS_AI_TOOLKIT_UI": "1",
        JOB_MARKER: order.job_id,
        ATTEMPT_MARKER: str(order.attempt),
    }
    # ai-toolkit crashes when its progress bar is disabled.
    environment.pop("TQDM_DISABLE", None)
    return environment


def _identify(process: subprocess.Popen[bytes], order: TrainingOrder) -> Identity:
    identity: dict[str, str | int | float | list[str]] = {
        "kind": "process",
        "pid": process.pid,
        "job": order.job_id,
        "attempt": order.attempt,
    }
    with contextlib.suppress(psutil.NoSuchProcess):
        identity["start_time"] = start_time_of(process.pid)
    return identity


def _tie_to_parent(parent: int) -> Callable[[], None]:
    """Return what the child does before it becomes the trainer: die with its worker, and heed SIGINT."""

    def prepare() -> None:
        # A Celery worker's children inherit SIGINT as ignored, and Python then never installs its handler.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if _PRCTL is not None:
            _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        # A worker that died before the call above will send nothing any more.
        if os.getppid() != parent:
            os._exit(1)

    return prepare
