"""Files that nobody will miss: of no row, half-written, or of a run that is over. Finding them touches nothing."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Q, QuerySet

from characters.files import THUMBNAILS
from characters.models import Character, Lora, TrainingImage
from jobs.files import workspace
from jobs.models import LIVE, Artifact, Job

# What runs publish, below their job's id; and what people gave or keep.
OF_JOBS = ("outputs", "samples", "checkpoints", "logs")
ROOTS = ("uploads", "loras", *OF_JOBS)
# Where the apps above store what they look after themselves: see `also_find`.
OF_OTHERS = ("inputs",)
TRAINED_LORA = re.compile(r"loras/([^/]+)/v([0-9]{1,9})\.safetensors")
KEYS_AT_ONCE = 500

Finder = Callable[[datetime], Iterator["Leftover"]]
_finders: list[Finder] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """`name` is a key in storage or a path on this machine. `remove()` raises OSError.

    What has a row is in order, only no longer needed: it waits for whoever cleans up.
    """

    name: str
    size_bytes: int
    why: str
    has_row: bool = False
    remove: Callable[[], None] = field(repr=False)


def also_find(finder: Finder) -> None:
    """Have `finder` called for what an app above keeps; it is given the time before which something is old."""
    _finders.append(finder)


def find_leftovers(*, before: datetime) -> Iterator[Leftover]:
    """Yield what was last written before that time. A publish writes the file before its row, so that must be past."""
    for root in ROOTS:
        yield from unnamed_files(root, before=before, named=_kept)
    yield from _lost_thumbnails(before)
    yield from abandoned_uploads(before=before)
    yield from idle_workspaces(unknown_before=before)
    for finder in _finders:
        yield from finder(before)


def find_safe_leftovers(*, before: datetime, half_written_before: datetime) -> Iterator[Leftover]:
    """Yield of what is stored only what was cut off, and what the ended jobs and the characters of this database left.

    A database that knows nothing of the files, because it is the wrong one or a new one, makes nothing a leftover.
    """
    for root in (*ROOTS, *OF_OTHERS, THUMBNAILS):
        cut_off = (key for key in _stored_below(root) if _is_partial(key) and _is_older(key, half_written_before))
        yield from (leftover for key in cut_off for leftover in _unnamed(key))
    for root in OF_JOBS:
        yield from unnamed_files(root, before=before, named=_kept_or_unknown)
    yield from unnamed_files("loras", before=before, named=_kept_or_never_issued)


def unnamed_files(root: str, *, before: datetime, named: Callable[[list[str]], set[str]]) -> Iterator[Leftover]:
    """Yield the old files below `root` whose keys are not among those that `named` returns of them."""
    old = (key for key in _stored_below(root) if _is_older(key, before))
    # The files first, then the rows: what is published in between has both, and what is deleted is found next time.
    while keys := list(islice(old, KEYS_AT_ONCE)):
        kept = named(keys)
        for key in keys:
            if key not in kept:
                yield from _unnamed(key)


def _unnamed(key: str) -> Iterator[Leftover]:
    why = "half-written" if _is_partial(key) else "no row names it"
    yield from _stored(key, why)


def _stored(key: str, why: str) -> Iterator[Leftover]:
    with suppress(FileNotFoundError):
        size_bytes = default_storage.size(key)
        yield Leftover(name=key, size_bytes=size_bytes, why=why, remove=partial(default_storage.delete, key))


def _lost_thumbnails(before: datetime) -> Iterator[Leftover]:
    for key in _stored_below(THUMBNAILS):
        picture = key.removeprefix(f"{THUMBNAILS}/").rsplit("/", 1)[0]
        if _is_older(key, before) and not default_storage.exists(picture):
            yield from _stored(key, "its picture is gone")


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


def _kept(keys: list[str]) -> set[str]:
    """Return which of the keys some row names, or belong to a job whose engine may be at work."""
    tables = (
        (TrainingImage.objects, "key"),
        (Lora.objects, "key"),
        (Artifact.objects, "key"),
        (Job.objects, "log_key"),
        (Job.objects, "output_key"),
    )
    named = {
        key
        for rows, column in tables
        for key in rows.filter(**{f"{column}__in": keys}).order_by().values_list(column, flat=True)
    }
    busy = _busy_owners()
    return named | {key for key in keys if _owners(key) & busy}


def _kept_or_unknown(keys: list[str]) -> set[str]:
    owners = {key: _owners(key) for key in keys}
    ids = {owner for found in owners.values() for owner in found}
    known = set(Job.objects.filter(pk__in=ids).values_list("pk", flat=True))
    return _kept(keys) | {key for key in keys if not owners[key] & known}


def _kept_or_never_issued(keys: list[str]) -> set[str]:
    """Return all but the trained LoRAs of dead attempts.

    A version that this database has not given out yet was trained for a newer one, of which this is a copy.
    """
    found = {key: version for key in keys if (version := TRAINED_LORA.fullmatch(key))}
    characters = Character.objects.filter(pk__in={version[1] for version in found.values()})
    issued = dict(characters.values_list("pk", "lora_versions_issued"))
    lost = {key for key, version in found.items() if int(version[2]) <= issued.get(version[1], 0)}
    return _kept(keys) | (set(keys) - lost)


def _busy_owners() -> set[str]:
    """Return the jobs whose engines may be at work, and their characters, which their LoRAs are filed under."""
    return {owner for ids in _busy_jobs().values_list("pk", "character_id") for owner in ids if owner}


def _busy_jobs() -> QuerySet[Job]:
    return Job.objects.filter(Q(status__in=LIVE) | Q(holder__isnull=False)).order_by()


def _owners(key: str) -> set[str]:
    """Return the ids a key may belong to: `samples/<id>/…`, `logs/<id>.17.jsonl`."""
    second = key.split("/")[1]
    return {second, second.split(".")[0]}


def abandoned_uploads(*, before: datetime) -> Iterator[Leftover]:
    folder = Path(settings.FILE_UPLOAD_TEMP_DIR)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            facts = path.lstat()
            if path.is_file() and datetime.fromtimestamp(facts.st_mtime, UTC) < before:
                yield Leftover(name=str(path), size_bytes=facts.st_size, why="abandoned upload", remove=path.unlink)


def idle_workspaces(*, unknown_before: datetime | None) -> Iterator[Leftover]:
    """Yield the workspaces of ended jobs; and those of jobs that this database does not know, if they are that old."""
    root = workspace("any").parent
    folders = (
        sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink()) if root.is_dir() else []
    )
    # The folders first here too: a job has its row before it gets a workspace.
    known = set(Job.objects.filter(pk__in=[path.name for path in folders]).values_list("pk", flat=True))
    busy = set(_busy_jobs().values_list("pk", flat=True))
    for path in folders:
        if path.name in busy:
            continue
        if path.name in known:
            yield from _as_leftover(path, "its job has ended")
        elif unknown_before and _is_folder_older(path, unknown_before):
            yield from _as_leftover(path, "there is no such job")


def _is_folder_older(folder: Path, before: datetime) -> bool:
    try:
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC) < before
    except FileNotFoundError:
        return False


def _as_leftover(folder: Path, why: str) -> Iterator[Leftover]:
    with suppress(FileNotFoundError):
        size_bytes = _folder_bytes(folder)
        yield Leftover(name=str(folder), size_bytes=size_bytes, why=why, remove=partial(shutil.rmtree, folder))


def _folder_bytes(folder: Path) -> int:
    total = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total
