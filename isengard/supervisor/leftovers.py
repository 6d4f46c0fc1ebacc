"""The last look around: no process of a run may be left when it is over."""

import os
import time

import psutil

# In the environment of every process of a run, and so of all that those start, whatever parent they have later.
RUN_ID_VARIABLE = "ISENGARD_RUN_ID"
PATIENCE_SECONDS = 1.5


def end_leftovers(run_id: str, *, patience_seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Kill what is left of the run; return the command lines of what had to be killed."""
    deadline = time.monotonic() + patience_seconds
    killed: dict[int, str] = {}
    # More than one look, because a process may have started another one since the list was made.
    while leftovers := _find_leftovers(run_id):
        for process in leftovers:
            killed.setdefault(process.pid, _kill(process))
        psutil.wait_procs(leftovers, timeout=max(0.0, deadline - time.monotonic()))
        if time.monotonic() >= deadline:
            break
    return list(killed.values())


def _find_leftovers(run_id: str) -> list[psutil.Process]:
    me = os.getpid()
    found = {process.pid: process for process in psutil.process_iter() if _belongs_to(process, run_id)}
    found.update({process.pid: process for process in psutil.Process().children(recursive=True)})
    return [process for pid, process in found.items() if pid != me and not _is_dead(process)]


def _belongs_to(process: psutil.Process, run_id: str) -> bool:
    try:
        return process.environ().get(RUN_ID_VARIABLE) == run_id
    except (psutil.Error, OSError):
        return False


def _is_dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _kill(process: psutil.Process) -> str:
    try:
        name = " ".join(process.cmdline())
        process.kill()
    except psutil.Error:
        return f"process {process.pid}"
    return name or f"process {process.pid}"
