"""A disk that a test can fill: a file system in memory, mounted where the machine allows it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

BALLAST = ".ballast"


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Leave no byte free, until the end of the block."""
        ballast = self.folder / BALLAST
        try:
            descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
            with suppress(OSError):
                for size in (1 << 16, 1 << 12, 1):
                    _write_all_it_takes(descriptor, size)
            os.close(descriptor)
            yield
        finally:
            ballast.unlink(missing_ok=True)

    def files(self) -> set[str]:
        """What goes while this looks counts or not; `rglob` would stumble over it."""
        found = (Path(parent, name) for parent, _, names in os.walk(self.folder) for name in names)
        return {str(path.relative_to(self.folder)) for path in found} - {BALLAST}


def _write_all_it_takes(descriptor: int, size: int) -> None:
    with suppress(OSError):
        while True:
            os.write(descriptor, b"x" * size)


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mount one at `folder`; skip the test where only an administrator could."""
    folder.mkdir(parents=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here to make a small disk with")
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
