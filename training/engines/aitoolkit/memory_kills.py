"""How often the kernel has killed something for memory: a trainer that died by SIGKILL may have been one of them."""

from collections.abc import Mapping
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
Counts = Mapping[str, int]


def count_memory_kills(proc: Path | None = None, cgroups: Path | None = None) -> Counts:
    """Return the kernel's counters by file, those of this process's cgroup among them; empty where there are none.

    A cgroup's counter tells of its own members, the machine's of all; a kill by the limit of a container shows in both.
    """
    proc, cgroups = proc or PROC, cgroups or CGROUPS
    files = [proc / "vmstat", *(folder / name for folder in _own_cgroups(proc, cgroups) for name in _NAMES)]
    counts = {str(file): _counter(file) for file in files}
    return {file: count for file, count in counts.items() if count is not None}


def has_grown(before: Counts, after: Counts) -> bool:
    return any(count > before.get(file, count) for file, count in after.items())


# Of cgroups version 2 and 1.
_NAMES = ("memory.events", "memory.oom_control")


def _own_cgroups(proc: Path, cgroups: Path) -> list[Path]:
    folders = [cgroups]
    for line in _read(proc / "self" / "cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        root = cgroups / "memory" if "memory" in controllers.split(",") else cgroups
        folders.append(root / path.lstrip("/"))
    return list(dict.fromkeys(folders))


def _counter(file: Path) -> int | None:
    for line in _read(file).splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdecimal():
            return int(value)
    return None


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
