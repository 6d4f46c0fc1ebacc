"""How much room there is to store things, and what must stay free."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection

FULL = (errno.ENOSPC, errno.EDQUOT)
POSTGRESQL_FULL = "53100"
"""The state that PostgreSQL gives an error for which its own disk has no room."""


def is_full_disk(exc: BaseException) -> bool:
    """Return whether an operation failed because some disk had no room."""
    # SQLite's errors have no number, only these words; PostgreSQL's are wrapped by Django.
    states = {getattr(each, "sqlstate", None) for each in (exc, exc.__cause__)}
    return getattr(exc, "errno", None) in FULL or POSTGRESQL_FULL in states or "disk is full" in str(exc)


def free_bytes(*beside: Path) -> int:
    """Return what is free on the fullest of the disks for uploads, files, rows and what is to be written `beside`.

    Raises OSError.
    """
    folders = [Path(settings.MEDIA_ROOT), Path(settings.FILE_UPLOAD_TEMP_DIR), *_database_folders(), *beside]
    return min(shutil.disk_usage(_existing(folder)).free for folder in folders)


def _database_folders() -> Iterator[Path]:
    if connection.vendor == "sqlite":
        yield Path(connection.settings_dict["NAME"]).absolute().parent


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def is_low(free_bytes: int, *, more_bytes: int = 0) -> bool:
    """Return whether less than ISENGARD_MIN_FREE_GB would be left. Where that is 0, nobody asks."""
    return settings.MIN_FREE_BYTES > 0 and free_bytes - more_bytes < settings.MIN_FREE_BYTES
