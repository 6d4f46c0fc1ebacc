"""One run per data directory, by a lock that the kernel lets go of when its holder dies."""

import fcntl
import os
from pathlib import Path

from isengard.supervisor.errors import CannotStart


def hold_data_directory(run_directory: Path) -> int:
    """Lock the data directory for as long as this process lives; return the open file's descriptor.

    Raises CannotStart, naming the process that holds it.
    """
    run_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(run_directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise CannotStart(
            f"the data directory {run_directory.parent} is in use by another run (pid {holder}): "
            "stop that one, or set ISENGARD_DATA_DIR to another directory."
        ) from exc
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
