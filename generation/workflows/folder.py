"""The operator's workflows as files: `<name>.json` with `<name>.map.json` beside it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from generation.workflows.errors import FileBroken
from generation.workflows.json_files import read_object
from generation.workflows.workflow import Workflow, read_workflow

GRAPH_SUFFIX, MAP_SUFFIX = ".json", ".map.json"
MAX_GRAPH_BYTES = 1024 * 1024
MAX_MAP_BYTES = 64 * 1024
MAX_WORKFLOWS = 100
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

Stamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""What tells a changed folder: the files' names, times and sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A file that cannot be used; `reason` says why, to the operator."""

    name: str
    reason: str


Found: TypeAlias = Mapping[str, Workflow | Broken]


def find_workflows(folder: Path) -> Found:
    """Return what is in the folder by name, broken files included. Reads again only what may have changed."""
    try:
        return _read_all(folder, stamp_of(folder))
    except OSError as exc:
        return {folder.name: Broken(name=folder.name, reason=f"The folder cannot be read: {exc.strerror or exc}.")}


def stamp_of(folder: Path) -> Stamp:
    """Raises OSError, but not for a folder that is not there."""
    if not folder.exists():
        return ()
    return tuple(sorted(_stamp_of_file(path) for path in folder.iterdir() if path.name.endswith(GRAPH_SUFFIX)))


def _stamp_of_file(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        # A link that leads nowhere, or a file that was removed just now.
        return path.name, 0, 0
    return path.name, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4)
def _read_all(folder: Path, stamp: Stamp) -> Found:
    return {each.name: each for each in _each(folder, [name for name, _, _ in stamp])}


def _each(folder: Path, files: list[str]) -> Iterator[Workflow | Broken]:
    names = sorted({file.removesuffix(MAP_SUFFIX).removesuffix(GRAPH_SUFFIX) for file in files})
    for number, name in enumerate(names):
        if number >= MAX_WORKFLOWS:
            yield Broken(name=shown(name), reason=f"At most {MAX_WORKFLOWS} workflows are read.")
        else:
            yield _read(folder, name)


def _read(folder: Path, name: str) -> Workflow | Broken:
    try:
        check_name(name)
        graph = read_object(folder / (name + GRAPH_SUFFIX), max_bytes=MAX_GRAPH_BYTES)
        mapping = read_object(folder / (name + MAP_SUFFIX), max_bytes=MAX_MAP_BYTES)
        return read_workflow(name, graph, mapping)
    except FileBroken as exc:
        return Broken(name=shown(name), reason=str(exc))


def check_name(name: str) -> None:
    """Raises FileBroken."""
    if not NAME.fullmatch(name):
        raise FileBroken("Its name must be 1 to 64 of A-Z, a-z, 0-9, _ and -: rename it.")


def shown(name: str) -> str:
    """Return a file's name as text that can be sent, whatever bytes it is made of."""
    return name if NAME.fullmatch(name) else ascii(name)[1:81]
