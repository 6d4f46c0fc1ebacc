"""A backup made while everything runs.

A file is there before its row and goes after its row, and never changes in between. So the bulk of the files is copied
first, then all rows are read as they are at one moment, then what those rows name besides. A file that is gone by then
was either deleted since, in which case the next look at the rows does not name it any more, or it was lost before.
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from django.conf import settings
from django.db import connection
from django.utils import timezone

from isengard.backup.at_rest import Values
from isengard.backup.checking import check
from isengard.backup.copying import Copier
from isengard.backup.layout import (
    FILE_LIST,
    FILES,
    FOLDER_MODE,
    FORMAT,
    MANIFEST,
    TABLES,
    BackupFailed,
    Manifest,
    TableEntry,
    create,
    digest_of,
    read_manifest,
    table_path,
)
from isengard.backup.parts import OWN, part_of
from isengard.backup.schema import models_of, present_version
from isengard.backup.tables import one_moment, write_table
from isengard.stored_files import NAMINGS, NamedFile, named_files, stored_below

# Each look at the rows takes seconds; a second one is rare, and this many mean that something else is wrong.
MAX_LOOKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """`damaged`: what is wrong with files that are in the backup as they were found."""

    folder: Path
    manifest: Manifest
    linked: int
    damaged: tuple[str, ...]


def write_backup(target: Path, *, parts: Collection[str], previous: Path | None = None) -> Written:
    """Make a backup at `target`, which must not exist. It appears whole, or not at all. Raises BackupFailed."""
    if previous is not None:
        read_manifest(previous)
    with _appearing_at(target) as folder:
        return _Writer(folder, parts, Copier(folder, previous)).write(target)


@contextmanager
def _appearing_at(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` that becomes it at the end, and goes if anything fails."""
    folder = target.with_name(f"{target.name}.partial")
    if target.exists():
        raise BackupFailed(f"{target} exists already: give the backup a folder of its own.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError as exc:
        raise BackupFailed(f"{folder} exists: another backup is being made there, or died; then remove it.") from exc
    except OSError as exc:
        raise BackupFailed(f"{folder} cannot be made: {exc.strerror}.") from exc
    try:
        yield folder
        folder.rename(target)
        _sync(target.parent)
    except OSError as exc:
        raise BackupFailed(f"The backup could not be written: {exc}") from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Writer:
    def __init__(self, folder: Path, parts: Collection[str], copier: Copier) -> None:
        self._folder = folder
        self._parts = parts
        self._copier = copier
        self._schema = present_version()
        self._models = models_of(self._schema)

    def write(self, target: Path) -> Written:
        (self._folder / FILES).mkdir(mode=FOLDER_MODE)
        (self._folder / TABLES).mkdir(mode=FOLDER_MODE)
        self._copier.copy(self._wanted(self._named_now()))
        tables, lost = self._consistent()
        self._copier.copy_own(key for part in OWN if part in self._parts for key in stored_below(part))
        manifest = self._finish(tables, lost)
        check(self._folder, trusted=self._copier.linked)
        damaged = tuple(self._copier.damaged.values())
        return Written(folder=target, manifest=manifest, linked=len(self._copier.linked), damaged=damaged)

    def _named_now(self) -> Iterator[NamedFile]:
        for name in NAMINGS.keys() & self._models.keys():
            yield from (file for _, file in named_files(self._models[name]))

    def _wanted(self, files: Iterable[NamedFile]) -> Iterator[NamedFile]:
        return (file for file in files if part_of(file.key) in self._parts)

    def _consistent(self) -> tuple[list[TableEntry], set[str]]:
        """Write the tables until every file that they name is copied, or was missing at the look before already."""
        before: set[str] | None = None
        for _ in range(MAX_LOOKS):
            named: list[NamedFile] = []
            tables = self._write_tables(named)
            missing = self._copier.copy(self._wanted(named))
            if not missing or (before is not None and missing <= before):
                self._copier.drop_all_but({file.key for file in named})
                return tables, missing
            before = missing
        raise BackupFailed("Files go faster than they can be copied: try again when less is being deleted.")

    def _write_tables(self, named: list[NamedFile]) -> list[TableEntry]:
        for name in self._models:
            table_path(self._folder, name).unlink(missing_ok=True)
        with one_moment():
            return [
                write_table(model, self._folder, seen=_collector(named)) for _, model in sorted(self._models.items())
            ]

    def _finish(self, tables: list[TableEntry], lost: set[str]) -> Manifest:
        entries = sorted(self._copier.copied.values(), key=lambda entry: entry.key)
        with create(self._folder / FILE_LIST) as lines:
            lines.writelines(orjson.dumps(entry.model_dump()) + b"\n" for entry in entries)
        manifest = Manifest(
            format=FORMAT,
            isengard_version=settings.VERSION,
            made_at=timezone.now(),
            database=connection.vendor,
            schema_version=self._schema,
            tables=tables,
            parts=sorted(self._parts),
            file_count=len(entries),
            files_bytes=sum(entry.size_bytes for entry in entries),
            file_list_sha256=digest_of(self._folder / FILE_LIST),
            lost=sorted(lost),
        )
        with create(self._folder / MANIFEST) as file:
            file.write(manifest.model_dump_json(indent=2).encode())
        # All at once, before the folder gets its name: a sync for each of many small files takes ten times as long.
        os.sync()
        return manifest


def _collector(named: list[NamedFile]) -> Callable[[str, Values], None]:
    def seen(table: str, row: Values) -> None:
        file = NAMINGS[table].read(row) if table in NAMINGS else None
        if file is not None:
            named.append(file)

    return seen
