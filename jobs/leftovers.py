"""Files that nobody will miss: of no row, half-written, or of a run that is over. Finding them touches nothing."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Q

from characters.models import Lora, TrainingImage
from jobs.files import workspace
from jobs.models import LIVE, Artifact, Job

ROOTS = ("uploads", "loras", "outputs", "samples", "checkpoints", "logs")

Finder = Callable[[datetime], Iterator["Leftover"]]
_finders: list[Finder] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """`name` is a key in storage or a path on this machine. `remove()` raises OSError."""

    name: str
    size_bytes: int
    why: str
    remove: Callable[[], None] = field(repr=False)


def also_find(finder: Finder) -> None:
    """Have `finder` called for what an app above keeps; it is given the time before which something is old."""
    _finders.append(finder)


def find_leftovers(*, before: datetime) -> Iterator[Leftover]:
    """Yield what was last written before that time. A publish writes the file before its row, so that must be past."""
    yield from _unnamed_files(before)
    yield from _abandoned_uploads(before)
    yield from _idle_workspaces(before)
    for finder in _finders:
        yield from finder(before)


def _unnamed_files(before: datetime) -> Iterator[Leftover]:
    # The files first, then the rows: what is published in between has both, and what is deleted is found next time.
    old = [key for root in ROOTS for key in _stored_below(root) if _is_older(key, before)]
    named, busy = _named_keys(), _busy_jobs()
    for key in old:
        if key not in named and not _owners(key) & busy:
            yield from _unnamed(key)


def unnamed_files(root: str, *, before: datetime, named: Callable[[], set[str]]) -> Iterator[Leftover]:
    """Yield the old files below `root` whose keys are not among those that `named` returns then."""
    old = [key for key in _stored_below(root) if _is_older(key, before)]
    kept = named()
    for key in old:
        if key not in kept:
            yield from _unnamed(key)


def _unnamed(key: str) -> Iterator[Leftover]:
    why = "half-written" if _is_partial(key) else "no row names it"
    with suppress(FileNotFoundError):
        size_bytes = default_storage.size(key)
        yield Leftover(name=key, size_bytes=size_bytes, why=why, remove=partial(default_storage.delete, key))


def _stored_below(folder: str) -> Iterator[str]:
    try:
        folders, names = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    # What a link points to is not ours: people link their model folders in here.
    yield from (f"{folder}/{name}" for name in names if not _is_link(f"{folder}/{name}"))
    for name in folders:
        if not _is_link(f"{folder}/{name}"):
            yield from _stored_below(f"{folder}/{name}")


def _is_link(key: str) -> bool:
    try:
        return Path(default_storage.path(key)).is_symlink()
    except NotImplementedError:
        return False


def _is_older(key: str, before: datetime) -> bool:
    try:
        return default_storage.get_modified_time(key) < before
    except FileNotFoundError:
        return False


def _is_partial(key: str) -> bool:
    name = key.rsplit("/", 1)[-1]
    return name.startswith(".") and name.endswith(".part")


def _named_keys() -> set[str]:
    tables = (
        TrainingImage.objects.values_list("key", flat=True),
        Lora.objects.values_list("key", flat=True),
        Artifact.objects.values_list("key", flat=True),
        Job.objects.values_list("log_key", flat=True),
        Job.objects.values_list("output_key", flat=True),
    )
    return {key for keys in tables for key in keys.order_by().iterator()}


def _busy_jobs() -> set[str]:
    busy = Job.objects.filter(Q(status__in=LIVE) | Q(holder__isnull=False))
    return set(busy.values_list("pk", flat=True))


def _owners(key: str) -> set[str]:
    """Return the ids a key may belong to: `samples/<id>/…`, `logs/<id>.17.jsonl`."""
    second = key.split("/")[1]
    return {second, second.split(".")[0]}


def _abandoned_uploads(before: datetime) -> Iterator[Leftover]:
    folder = Path(settings.FILE_UPLOAD_TEMP_DIR)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            facts = path.lstat()
            if path.is_file() and datetime.fromtimestamp(facts.st_mtime, UTC) < before:
                yield Leftover(name=str(path), size_bytes=facts.st_size, why="abandoned upload", remove=path.unlink)


def _idle_workspaces(before: datetime) -> Iterator[Leftover]:
    root = workspace("any").parent
    folders = (
        sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink()) if root.is_dir() else []
    )
    # The folders first here too: a job has its row before it gets a workspace.
    known = set(Job.objects.filter(pk__in=[path.name for path in folders]).values_list("pk", flat=True))
    busy = _busy_jobs()
    for path in folders:
        if path.name in busy:
            continue
        if path.name in known:
            yield _as_leftover(path, "its job has ended")
        elif datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
            yield _as_leftover(path, "there is no such job")


def _as_leftover(folder: Path, why: str) -> Leftover:
    return Leftover(name=str(folder), size_bytes=_folder_bytes(folder), why=why, remove=partial(shutil.rmtree, folder))


def _folder_bytes(folder: Path) -> int:
    total = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total
