"""Ending whole process groups, and recognising a process after its number may have been given to another."""

import os
import signal
import time
from collections.abc import Callable

import psutil

_POLL_SECONDS = 0.02


def start_time_of(pid: int) -> float:
    """Return seconds since the epoch. Raises psutil.NoSuchProcess."""
    return psutil.Process(pid).create_time()


def kill_group(group: int, *, reap: Callable[[], object] | None = None, seconds: float | None = None) -> bool:
    """Kill a group and wait until none of it is left; return False if that took longer than `seconds`.

    `reap` collects the caller's own child, which stays in the group as a zombie until then.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while has_members(group):
        if deadline is not None and time.monotonic() >= deadline:
            # Stuck in the kernel, as in a driver or on a dead network disk: no signal reaches it there.
            return False
        _signal_group(group)
        if reap is not None:
            reap()
        time.sleep(_POLL_SECONDS)
    return True


def has_members(group: int) -> bool:
    """Whether a process of the group is alive. A zombie is not: it holds nothing, and only its parent can remove it."""
    return any(_belongs(pid, group) for pid in psutil.pids())


def _belongs(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def _signal_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
