"""Files out of storage into a backup. They never change once a row names them, but they may go meanwhile."""

import errno
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from django.core.files.storage import default_storage

from isengard.backup.layout import CHUNK_BYTES, FileEntry, create, file_path, make_folders, read_file_list
from isengard.stored_files import NamedFile


class Copier:
    """`previous` is an earlier backup: what it has already is linked, not copied."""

    def __init__(self, folder: Path, previous: Path | None) -> None:
        self._folder = folder
        self._previous = previous
        self._earlier: Mapping[str, FileEntry] = (
            {entry.key: entry for entry in read_file_list(previous)} if previous else {}
        )
        self.copied: dict[str, FileEntry] = {}
        self.linked: set[str] = set()
        self.damaged: dict[str, str] = {}

    def copy(self, named: Iterable[NamedFile]) -> set[str]:
        """Copy what is not copied yet; return the keys under which there is no file."""
        return {file.key for file in named if file.key not in self.copied and not self._copy(file)}

    def copy_own(self, keys: Iterable[str]) -> None:
        """Copy files that people write by hand, and may change."""
        for key in keys:
            self._copy_from_storage(NamedFile(key=key))

    def drop_all_but(self, keys: set[str]) -> None:
        """Remove the copies of what was deleted while it was copied."""
        for key in self.copied.keys() - keys:
            file_path(self._folder, key).unlink()
            del self.copied[key]
            self.damaged.pop(key, None)

    def _copy(self, file: NamedFile) -> bool:
        if self._link(file):
            return True
        if not self._copy_from_storage(file):
            return False
        self._compare(file, self.copied[file.key])
        return True

    def _link(self, file: NamedFile) -> bool:
        earlier = self._earlier.get(file.key)
        if self._previous is None or earlier is None or not _agrees(file, earlier):
            return False
        source, target = file_path(self._previous, file.key), self._place(file.key)
        try:
            if source.stat().st_size != earlier.size_bytes:
                return False
            target.hardlink_to(source)
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.EXDEV, errno.EMLINK, errno.EPERM):
                return False
            raise
        self.copied[file.key] = earlier
        self.linked.add(file.key)
        return True

    def _copy_from_storage(self, file: NamedFile) -> bool:
        try:
            stored = default_storage.open(file.key, "rb")
        except FileNotFoundError:
            return False
        with stored, create(self._place(file.key)) as target:
            self.copied[file.key] = _copied(file.key, stored, target)
        return True

    def _place(self, key: str) -> Path:
        path = file_path(self._folder, key)
        if not path.parent.is_dir():
            make_folders(self._folder, path.parent)
        return path

    def _compare(self, file: NamedFile, copied: FileEntry) -> None:
        """Note a file that is not what its row says. It is kept as it is: nobody has a better one."""
        if not _agrees(file, copied):
            self.damaged[file.key] = f"{file.key} is not the file that its row describes"


def _agrees(file: NamedFile, entry: FileEntry) -> bool:
    return file.size_bytes in (None, entry.size_bytes) and file.sha256 in (None, entry.sha256)


def _copied(key: str, source: IO[bytes], target: IO[bytes]) -> FileEntry:
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
        size_bytes += len(chunk)
    return FileEntry(key=key, size_bytes=size_bytes, sha256=digest.hexdigest())
