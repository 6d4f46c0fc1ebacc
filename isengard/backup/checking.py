"""Whether a backup is whole: everything that its manifest names is there, byte for byte."""

from collections.abc import Collection, Iterator
from pathlib import Path

from isengard.backup.layout import (
    FILE_LIST,
    BackupFailed,
    FileEntry,
    Manifest,
    TableEntry,
    digest_of,
    file_path,
    read_file_list,
    read_manifest,
    table_path,
)

NAMED_AT_MOST = 3


def check(folder: Path, *, trusted: Collection[str] = ()) -> Manifest:
    """Read all of it, but of `trusted` files the size alone. Raises BackupFailed, naming what is wrong."""
    manifest = read_manifest(folder)
    wrong = list(_wrong(folder, manifest, trusted))
    if wrong:
        rest = f", and {len(wrong) - NAMED_AT_MOST} more" if len(wrong) > NAMED_AT_MOST else ""
        raise BackupFailed(f"{folder} is damaged: {'; '.join(wrong[:NAMED_AT_MOST])}{rest}.")
    return manifest


def _wrong(folder: Path, manifest: Manifest, trusted: Collection[str]) -> Iterator[str]:
    for table in manifest.tables:
        yield from _differs(table_path(folder, table.name), table)
    file_list = folder / FILE_LIST
    if not file_list.is_file() or digest_of(file_list) != manifest.file_list_sha256:
        yield f"{FILE_LIST} is not what was written"
        return
    for entry in read_file_list(folder):
        yield from _differs(file_path(folder, entry.key), entry, is_trusted=entry.key in trusted)


def _differs(path: Path, entry: FileEntry | TableEntry, *, is_trusted: bool = False) -> Iterator[str]:
    try:
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            yield f"{path.name} has {size_bytes} bytes instead of {entry.size_bytes}"
        elif not is_trusted and digest_of(path) != entry.sha256:
            yield f"{path.name} is not what was written"
    except OSError as exc:
        yield f"{path.name} cannot be read ({exc.strerror})"
