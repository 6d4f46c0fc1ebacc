"""Which tables name stored files, and what they say of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.files.storage import default_storage
from django.db.models import Model

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """What a row says of a file; None is what it does not say."""

    key: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The columns of a table that name a file. `details` is one of JSON, which may hold the file's `sha256`."""

    key: str = "key"
    size_bytes: str | None = "size_bytes"
    sha256: str | None = None
    details: str | None = None

    def columns(self) -> list[str]:
        return [name for name in (self.key, self.size_bytes, self.sha256, self.details) if name]

    def read(self, row: Row) -> NamedFile | None:
        if not row[self.key]:
            return None
        return NamedFile(key=row[self.key], size_bytes=self._size_bytes(row), sha256=self._sha256(row))

    def _size_bytes(self, row: Row) -> int | None:
        return row[self.size_bytes] if self.size_bytes else None

    def _sha256(self, row: Row) -> str | None:
        if self.sha256:
            return str(row[self.sha256])
        return row[self.details].get("sha256") if self.details else None


NAMINGS: Mapping[str, Naming] = {
    "characters.trainingimage": Naming(size_bytes="bytes", sha256="sha256"),
    "characters.lora": Naming(sha256="sha256"),
    "generation.inputimage": Naming(sha256="sha256"),
    "jobs.artifact": Naming(details="details"),
    # A job's `output_key` is the LoRA's, which people may have deleted since.
    "jobs.job": Naming(key="log_key", size_bytes=None),
}


def named_files(model: type[Model]) -> Iterator[tuple[Any, NamedFile]]:
    """Yield each row's primary key and the file that it names. `model` may be one of an earlier schema."""
    naming = NAMINGS[model._meta.label_lower]
    rows = model._base_manager.order_by().values("pk", *naming.columns())
    for row in rows.iterator(chunk_size=1000):
        named = naming.read(row)
        if named is not None:
            yield row["pk"], named


def stored_below(folder: str) -> Iterator[str]:
    """Yield the keys of the files in a folder and below."""
    try:
        folders, names = default_storage.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (f"{folder}/{name}" for name in sorted(names))
    for name in sorted(folders):
        yield from stored_below(f"{folder}/{name}")
