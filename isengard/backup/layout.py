"""What a backup's folder holds: a manifest, the tables as lines of JSON, and the files under their keys."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

FORMAT = 1
MANIFEST = "manifest.json"
FILE_LIST = "files.jsonl"
TABLES = "database"
FILES = "files"
CHUNK_BYTES = 1024 * 1024
# What a backup holds is for nobody but its owner.
FILE_MODE, FOLDER_MODE = 0o600, 0o700


class BackupFailed(Exception):
    """The text says to the operator why there is no backup, or why it cannot be used, and what to do."""


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("leads out of its folder")
    return name


Inside = Annotated[str, AfterValidator(_inside)]


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileEntry(_Described):
    key: Inside
    size_bytes: int
    sha256: str


class TableEntry(_Described):
    """`name` is the model's label, such as `jobs.job`."""

    name: Inside
    rows: int
    size_bytes: int
    sha256: str


class Manifest(_Described):
    """`schema_version`: the last migration of each app. `lost`: keys that rows name without there being a file."""

    format: int = Field(ge=1, le=FORMAT)
    isengard_version: str
    made_at: Annotated[datetime, Field(strict=False)]
    database: str
    schema_version: Mapping[str, str]
    tables: list[TableEntry]
    parts: list[Inside]
    file_count: int
    files_bytes: int
    file_list_sha256: str
    lost: list[str]


def read_manifest(folder: Path) -> Manifest:
    """Raises BackupFailed."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as exc:
        raise BackupFailed(f"{folder} is no whole backup: its {MANIFEST} cannot be read ({exc.strerror}).") from exc
    except ValidationError as exc:
        raise BackupFailed(
            f"{folder / MANIFEST} is damaged, or of a newer Isengard: {exc.errors()[0]['msg']}."
        ) from exc


def read_file_list(folder: Path) -> Iterator[FileEntry]:
    """Raises BackupFailed."""
    try:
        with (folder / FILE_LIST).open("rb") as lines:
            yield from map(FileEntry.model_validate_json, lines)
    except OSError as exc:
        raise BackupFailed(f"{folder} is no whole backup: its {FILE_LIST} cannot be read ({exc.strerror}).") from exc
    except ValidationError as exc:
        raise BackupFailed(f"{folder / FILE_LIST} is damaged: {exc.errors()[0]['msg']}.") from exc


def table_path(folder: Path, name: str) -> Path:
    return folder / TABLES / f"{name}.jsonl.gz"


def file_path(folder: Path, key: str) -> Path:
    return folder / FILES / key


def create(path: Path) -> IO[bytes]:
    """Open a new file for writing that only its owner can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")


def make_folders(root: Path, folder: Path) -> None:
    """Make `folder` below `root`, and what lies between them."""
    for each in [*reversed(folder.relative_to(root).parents), folder.relative_to(root)]:
        (root / each).mkdir(mode=FOLDER_MODE, exist_ok=True)


def digest_of(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
