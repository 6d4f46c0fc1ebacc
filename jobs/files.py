"""A run's workspace on local disk, and stored files as local paths."""

import shutil
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage


def workspace(job_id: str) -> Path:
    return Path(settings.DATA_DIR, "workspaces", job_id)


def remove_workspace(job_id: str) -> None:
    shutil.rmtree(workspace(job_id), ignore_errors=True)


def as_local_file(key: str, folder: Path) -> Path:
    """Return a path to read a stored file from: its own on local disk, else a copy below `folder`."""
    try:
        return Path(default_storage.path(key))
    except NotImplementedError:
        copy = folder / key
        copy.parent.mkdir(parents=True, exist_ok=True)
        with default_storage.open(key) as stored, copy.open("wb") as target:
            shutil.copyfileobj(stored, target)
        return copy
