"""Who a process is, so that a pid that was given to somebody else is never mistaken for it."""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

# Of /proc/<pid>/stat, counted from the first one behind the name, which may hold blanks and brackets itself.
_START_FIELD = 19


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """`pid_namespace` tells containers apart. `start_time` is seconds since the epoch, as psutil gives it.

    That moves when the clock is set. `start_ticks`, counted from the boot, does not; None where the system has none.
    """

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    start_time: float
    start_ticks: int | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@cache
def _here() -> tuple[str, str, str]:
    return settings.HOSTNAME, _read("/proc/sys/kernel/random/boot_id"), _pid_namespace()


def of_process(pid: int) -> ProcessIdentity:
    started = psutil.Process(pid).create_time()
    return ProcessIdentity(*_here(), pid=pid, start_time=started, start_ticks=_start_ticks(pid))


def _start_ticks(pid: int) -> int | None:
    after_name = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(after_name[_START_FIELD]) if len(after_name) > _START_FIELD else None


def is_visible_from_here(identity: dict[str, Any]) -> bool:
    """Return whether this process could see that one: same host, same boot, same pid namespace."""
    return tuple(identity.get(name) for name in ("host", "boot_id", "pid_namespace")) == _here()


def is_certainly_gone(identity: dict[str, Any]) -> bool:
    """Return whether the process has ended, as far as can be told from here; False where it can't be seen."""
    if identity.get("host") == settings.HOSTNAME and identity.get("boot_id") not in ("", _here()[1]):
        return True
    if not is_visible_from_here(identity):
        return False
    try:
        process = psutil.Process(int(identity["pid"]))
        return not _is_same(process, identity) or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _is_same(process: psutil.Process, identity: dict[str, Any]) -> bool:
    ticks = identity.get("start_ticks")
    if ticks is not None:
        return _start_ticks(process.pid) == int(ticks)
    return bool(abs(process.create_time() - float(identity["start_time"])) < 1)
