"""Files below the storage root: written whole or not at all, read and removed by key."""

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import DatabaseError
from django.db.models import QuerySet

logger = logging.getLogger(__name__)

PUBLIC_ROOT = "/data/"
THUMBNAILS = "thumbnails"


def public_path(key: str) -> str:
    """Return the path under which clients know `key`, wherever the storage root really is."""
    return PUBLIC_ROOT + key


def publish(key: str, content: IO[bytes]) -> None:
    """Store `content` under `key`, which must be new. Whoever finds the key finds the whole file."""
    try:
        target = Path(default_storage.path(key))
    except NotImplementedError:
        # Object stores have no paths; they show an object only once it is complete.
        default_storage.save(key, File(content))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(target, content)


def _write_whole(target: Path, content: IO[bytes]) -> None:
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(settings.FILE_UPLOAD_PERMISSIONS)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    """Make a rename in `directory` survive a power cut, as the row that names the file will."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def thumbnails_of(key: str) -> str:
    """Return the folder in which the small copies of a picture are kept."""
    return f"{THUMBNAILS}/{key}"


def names_in(folder: str) -> list[str]:
    try:
        return default_storage.listdir(folder)[1]
    except (FileNotFoundError, NotADirectoryError):
        return []


def discard(keys: Iterable[str]) -> None:
    """Remove files that are there, and their thumbnails. One that cannot be removed is logged, and the others go."""
    for key in keys:
        _remove(key)
        # After the file itself: whoever makes a thumbnail meanwhile finds out that nobody wants it any more.
        discard_thumbnails(key)


def discard_unnamed(key: str, rows: QuerySet[Any]) -> None:
    """Remove a file whose row was not written, unless one of `rows` names it or cannot be asked for.

    A commit can outlive the server that took it: whoever hears of an error does not know that nothing was written.
    """
    try:
        is_named = rows.filter(key=key).exists()
    except DatabaseError:
        logger.warning("A file stays until the database can say whether anybody names it", extra={"key": key})
        return
    if not is_named:
        discard([key])


def discard_thumbnails(key: str) -> None:
    folder = thumbnails_of(key)
    for name in names_in(folder):
        _remove(f"{folder}/{name}")
    discard_folder(folder)


def _remove(key: str) -> None:
    try:
        default_storage.delete(key)
    except OSError:
        logger.exception("A file could not be removed", extra={"key": key})


def discard_folder(key: str) -> None:
    """Remove an empty folder; one that is not empty stays."""
    with contextlib.suppress(OSError):
        default_storage.delete(key)
