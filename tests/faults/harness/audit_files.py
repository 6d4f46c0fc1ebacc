"""Files against rows, both ways: each file is named or of a known folder, and each name has its whole file."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.faults.harness.finding import Finding
from tests.faults.harness.rows import Rows
from tests.faults.harness.wholeness import why_broken

NAMED = {
    "uploads": "SELECT key, bytes, sha256 FROM characters_trainingimage",
    "loras": "SELECT key, size_bytes, sha256 FROM characters_lora",
    "inputs": "SELECT key, size_bytes, sha256 FROM generation_inputimage",
    "artifacts": "SELECT key, size_bytes, NULL FROM jobs_artifact",
    "archived logs": "SELECT log_key, NULL, NULL FROM jobs_job WHERE log_key <> ''",
}
# What a process keeps for itself; whatever else lies in the data directory has to be named by a row.
OWN_FOLDERS = ("run", "redis", "simulator", "models")
OWN_FILES = ("isengard.sqlite3", "isengard.sqlite3-wal", "isengard.sqlite3-shm", "secret_key")
THUMBNAILS = "thumbnails"
PARTIAL_SUFFIXES = (".part", ".tmp")


def audit_files(rows: Rows, data_dir: Path) -> list[Finding]:
    named = {key: (size, sha256) for question in NAMED.values() for key, size, sha256 in rows.ask(question)}
    there = {path.relative_to(data_dir).as_posix(): path for path in _files_below(data_dir)}
    findings = [finding for key, path in there.items() for finding in _unnamed(key, path, named.keys())]
    for key, (size, sha256) in named.items():
        if key in there:
            findings += _broken(key, there[key], size, sha256)
        else:
            findings.append(Finding("lost", f"{key} is named by a row, and there is no such file"))
    return findings


def unnamed_files(rows: Rows, data_dir: Path) -> list[str]:
    """Return the files and folders that a sweep would have to remove now."""
    named = {key for question in NAMED.values() for key, _, _ in rows.ask(question)}
    there = (path.relative_to(data_dir).as_posix() for path in _files_below(data_dir))
    return [key for key in there if any(_unnamed(key, data_dir / key, named))]


def _files_below(data_dir: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(data_dir):
        if Path(parent) == data_dir:
            folders[:] = [folder for folder in folders if folder not in OWN_FOLDERS]
            names = [name for name in names if name not in OWN_FILES]
        yield from (Path(parent, name) for name in names)
        # A workspace is something left, even if nothing is in it.
        if Path(parent) == data_dir / "workspaces":
            yield from (Path(parent, folder) for folder in folders)


def _unnamed(key: str, path: Path, named: "set[str] | dict[str, object]") -> Iterator[Finding]:
    original = key.removeprefix(f"{THUMBNAILS}/").rpartition("/")[0] if key.startswith(f"{THUMBNAILS}/") else key
    if path.name.endswith(PARTIAL_SUFFIXES):
        yield Finding("orphan or partial file", f"{key} is half-written")
    elif original not in named:
        yield Finding("orphan or partial file", f"{key} is named by no row")


def _broken(key: str, path: Path, size: int | None, sha256: str | None) -> Iterator[Finding]:
    if size is not None and path.stat().st_size != size:
        yield Finding("lost", f"{key} has {path.stat().st_size} bytes, and its row says {size}")
    elif sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        yield Finding("lost", f"{key} has other bytes than its row says")
    elif why := why_broken(path.name, path.read_bytes()):
        yield Finding("lost", f"{key} cannot be read: {why}")
