"""What a staged dataset holds, written down in the dataset's own folder so that it is there whenever the folder is."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.params import CaptionStrategy

# ai-toolkit looks at no name that begins with a dot.
FILE_NAME = ".isengard.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """`name` is its content's hash with the suffix; `title` what the person who sent it calls it."""

    name: str
    title: str
    image_id: int | None
    sha256: str
    caption_sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`duplicate_count`: images left out because another is the same; `captionless_count`: those without a caption."""

    caption_strategy: CaptionStrategy
    pictures: tuple[Picture, ...]
    duplicate_count: int = 0
    captionless_count: int = 0

    @property
    def dataset_hash(self) -> str:
        """The SHA-256 of a line for each picture, `<picture's sha256> <caption's sha256>`, the lines sorted."""
        lines = sorted(f"{picture.sha256} {picture.caption_sha256}\n" for picture in self.pictures)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def as_facts(self) -> dict[str, object]:
        ids = [picture.image_id for picture in self.pictures if picture.image_id is not None]
        return {
            "hash": self.dataset_hash,
            "image_count": len(self.pictures),
            "caption_strategy": self.caption_strategy,
            "image_ids": sorted(ids),
        }


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / FILE_NAME).write_text(json.dumps(asdict(manifest)), encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """Return None where there is none that can be understood."""
    try:
        described = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return _manifest(described)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def titles_by_name(folder: Path) -> Mapping[str, str]:
    """Return what people call the staged pictures, by file name; empty where the dataset is not staged."""
    manifest = read_manifest(folder)
    return {picture.name: picture.title for picture in manifest.pictures} if manifest else {}


def _manifest(described: dict[str, Any]) -> Manifest:
    pictures: Iterable[dict[str, Any]] = described.pop("pictures")
    return Manifest(pictures=tuple(Picture(**picture) for picture in pictures), **described)
