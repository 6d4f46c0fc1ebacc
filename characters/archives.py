"""ZIP files from outside: what they claim is not believed, and nothing in them is written under a name of theirs.

Framework-free. What is inflated is counted while it is inflated; a directory too large to read is not read.
"""

import re
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

MAX_MEMBERS = 1000
MAX_INFLATED_GIB = 2
MAX_INFLATED_BYTES = MAX_INFLATED_GIB * 1024**3
MAX_RATIO = 100
# Below this a ratio says nothing: a line of one letter is compressed more than a hundredfold, and does no harm.
RATIO_FREE_BYTES = 100_000
# A thousand entries with long names; it bounds the memory that reading the directory takes.
MAX_DIRECTORY_BYTES = 1_000_000
CHUNK_BYTES = 64 * 1024

TOO_MANY_FILES = f"The archive must have at most {MAX_MEMBERS} files."
TOO_MUCH_INSIDE = f"The archive must hold at most {MAX_INFLATED_GIB} GiB of files, and {MAX_RATIO} times its own size."

ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000
DRIVE = re.compile(r"[A-Za-z]:")
UNREADABLE = (
    BadZipFile,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
)


class ArchiveRefused(Exception):
    """Nothing of the archive can be used; the text says why to the person who sent it."""


class MemberRefused(Exception):
    """One file of the archive cannot be used; the text says why to the person who sent it."""


class _BoundedReads(BufferedReader):
    """`zipfile` reads a directory in one go, however large it says it is, and nothing else in such pieces."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ArchiveRefused(TOO_MANY_FILES)
        return super().read(size)


class Archive:
    """An open archive. `files` are its members, without folders and what systems hide."""

    def __init__(self, opened: ZipFile, *, size_bytes: int) -> None:
        self._zip = opened
        self._left_bytes = min(MAX_INFLATED_BYTES, max(RATIO_FREE_BYTES, MAX_RATIO * size_bytes))
        self.files = [member for member in opened.infolist() if not (member.is_dir() or _is_hidden(member))]

    def inflate(self, member: ZipInfo, target: IO[bytes], *, max_bytes: int) -> None:
        """Write a member to `target`, never more than `max_bytes` and one, which is enough to refuse it.

        Raises MemberRefused, also where all that was inflated of this archive is too much.
        """
        _refuse_what_is_no_plain_file(member)
        left_bytes = max_bytes + 1
        for chunk in self._inflated(member):
            target.write(chunk[:left_bytes])
            left_bytes -= len(chunk)
            if left_bytes <= 0:
                return

    def _inflated(self, member: ZipInfo) -> Iterator[bytes]:
        member_bytes = 0
        for chunk in _chunks(self._zip, member):
            member_bytes += len(chunk)
            self._left_bytes -= len(chunk)
            if self._left_bytes < 0:
                # Members may overlap: a small archive can hold the same bytes a thousand times.
                raise MemberRefused(TOO_MUCH_INSIDE)
            if member_bytes > max(RATIO_FREE_BYTES, MAX_RATIO * member.compress_size):
                raise MemberRefused(f"It is compressed more than {MAX_RATIO}-fold")
            yield chunk


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open the archive at `path`. Raises ArchiveRefused."""
    with _BoundedReads(FileIO(path)) as file:
        try:
            read = ZipFile(file)
        except UNREADABLE as exc:
            raise ArchiveRefused("This is no ZIP file, or a broken one.") from exc
        with read:
            if len(read.infolist()) > MAX_MEMBERS:
                raise ArchiveRefused(TOO_MANY_FILES)
            if sum(member.file_size for member in read.infolist()) > MAX_INFLATED_BYTES:
                raise ArchiveRefused(TOO_MUCH_INSIDE)
            yield Archive(read, size_bytes=path.stat().st_size)


def path_of(member: ZipInfo) -> PurePosixPath:
    """Return where a member lies in its archive. Raises MemberRefused for a path that leads out of it."""
    # `filename` ends at the first NUL; the name as it stands in the archive hides nothing.
    name = member.orig_filename.replace("\\", "/")
    path = PurePosixPath(name)
    if "\0" in name or path.is_absolute() or DRIVE.match(name) or ".." in path.parts:
        raise MemberRefused("Its path leads out of the archive")
    return path


def _is_hidden(member: ZipInfo) -> bool:
    parts = PurePosixPath(member.orig_filename.replace("\\", "/")).parts
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)


def _refuse_what_is_no_plain_file(member: ZipInfo) -> None:
    path_of(member)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise MemberRefused("It is a link or another special file")
    if member.flag_bits & ENCRYPTED_FLAGS:
        raise MemberRefused("It is encrypted")
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise MemberRefused("It is compressed in another way than ZIP files usually are")


def _chunks(archive: ZipFile, member: ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(member) as packed:
            while chunk := packed.read(CHUNK_BYTES):
                yield chunk
    except UNREADABLE as exc:
        raise MemberRefused("It is broken in the archive") from exc
