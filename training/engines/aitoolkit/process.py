"""The trainer as a child process in a session of its own."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import psutil

from jobs.errors import EngineFailed
from training.engines.aitoolkit.failures import explain_os_error
from training.engines.aitoolkit.limits import Limits
from training.engines.aitoolkit.process_group import has_members, kill_group, start_time_of
from training.engines.aitoolkit.workspace import Workspace
from training.engines.order import Installation, TrainingOrder

JOB_MARKER = "ISENGARD_JOB"
ATTEMPT_MARKER = "ISENGARD_ATTEMPT"
Identity = Mapping[str, str | int | float | list[str]]
_PROGRAM = "run.py"
_PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec the child of a threaded process may not even allocate memory safely.
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
# The kernel ends a child that is tied to its parent when the *thread* that forked it ends. This one lives as long as
# the process, whatever becomes of the thread that drives the run.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trainer-start")


class Trainer:
    """A started trainer. Whoever holds it has to `stop` it to the last step, also after it ended by itself."""

    def __init__(self, process: subprocess.Popen[bytes], identity: Identity) -> None:
        self._process = process
        self.identity = identity

    def wait(self, seconds: float) -> int | None:
        """Return the exit status, negative for a signal, or None when it still runs after `seconds`."""
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, limits: Limits) -> Iterator[str]:
        """End the trainer and its group, and tell each step with the time it took."""
        # Only the main process is interrupted: its data loaders sit in the same group, and a loader that dies first
        # turns the orderly stop into an error.
        yield from self._ask(signal.SIGINT, limits.interrupt_seconds)
        yield from self._ask(signal.SIGTERM, limits.terminate_seconds)
        if has_members(self._process.pid):
            began = time.monotonic()
            is_gone = kill_group(self._process.pid, reap=self._process.poll, seconds=limits.kill_seconds)
            yield _told("SIGKILL to its group", time.monotonic() - began, is_gone=is_gone)
        self.wait(limits.kill_seconds)

    def _ask(self, number: signal.Signals, seconds: float) -> Iterator[str]:
        if self._process.poll() is None:
            began = time.monotonic()
            self._process.send_signal(number)
            is_gone = self.wait(seconds) is not None
            yield _told(number.name, time.monotonic() - began, is_gone=is_gone)


def _told(step: str, seconds: float, *, is_gone: bool) -> str:
    return f"{step}: {'gone' if is_gone else 'still there'} after {seconds:.1f} s"


def spawn(order: TrainingOrder, installation: Installation, workspace: Workspace) -> Trainer:
    """Raises EngineFailed, naming the setting, when the program or its interpreter cannot be started."""
    if not (installation.directory / _PROGRAM).is_file():
        raise EngineFailed(
            f"ai-toolkit is not in {installation.directory}: set AI_TOOLKIT_DIR to the folder with run.py.",
            cause="installation",
        )
    try:
        process = _starter.submit(_start, order, installation, workspace).result()
    except (OSError, subprocess.SubprocessError) as exc:
        if isinstance(exc, OSError) and (disk_full := explain_os_error(exc)):
            raise disk_full from exc
        why = getattr(exc, "strerror", None) or exc
        raise EngineFailed(
            f"The interpreter {installation.python} cannot be started ({why}): check AI_TOOLKIT_PYTHON.",
            cause="installation",
        ) from exc
    return Trainer(process, _identify(process, order))


def _start(order: TrainingOrder, installation: Installation, workspace: Workspace) -> subprocess.Popen[bytes]:
    with workspace.console.open("wb") as console:
        return subprocess.Popen(
            [installation.python, _PROGRAM, str(workspace.job_file)],
            cwd=installation.directory,
            env=_environment(order, installation),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_tie_to_parent(os.getpid()),
        )


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
