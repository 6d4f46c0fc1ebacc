"""Find the images of a dataset folder, measure and sort them, and read their captions."""

import json
import os
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from .console import shown

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SIZE_FILE = ".aitk_size.json"
SIZE_FILE_VERSION = "0.1.2"
BUCKET_STEP = 32
CONTROLS_FOLDER = "_controls"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetConfig:
    """One dataset at one resolution: a list of resolutions makes as many datasets of the same folder."""

    path: Any
    resolution: Any
    caption_ext: str
    default_caption: str | None
    trigger_word: str | None
    has_buckets: bool
    is_regularisation: bool
    caches_latents: bool
    caches_latents_to_disk: bool
    caches_text: bool

    @classmethod
    def read(cls, given: dict[str, Any], resolution: Any, trigger_word: str | None) -> "DatasetConfig":
        return cls(
            path=given.get("dataset_path", given.get("folder_path")),
            resolution=resolution,
            caption_ext="." + given.get("caption_ext", ".txt").lstrip("."),
            default_caption=given.get("default_caption"),
            trigger_word=given.get("trigger_word", trigger_word),
            has_buckets=given.get("buckets", True),
            is_regularisation=given.get("is_reg", False),
            caches_latents=given.get("cache_latents", False),
            caches_latents_to_disk=given.get("cache_latents_to_disk", False),
            caches_text=given.get("cache_text_embeddings", False),
        )


@dataclass(frozen=True, slots=True)
class TrainingImage:
    path: Path
    bucket: tuple[int, int]


def expand(datasets: list[dict[str, Any]], *, trigger_word: str | None, caches_text: bool) -> list[DatasetConfig]:
    configs = []
    text = {"cache_text_embeddings": True} if caches_text else {}
    for given in datasets:
        resolution = given.get("resolution", 512)
        for side in resolution if isinstance(resolution, list) else [resolution]:
            configs.append(DatasetConfig.read(given | text, side, trigger_word))
    return configs


def find_images(config: DatasetConfig) -> list[TrainingImage]:
    """Raise FileNotFoundError for a missing folder (it is taken for a list of images), AssertionError for no image."""
    paths = _image_paths(config.path)
    print(f"Dataset: {config.path}")
    print("  -  Preprocessing image dimensions")
    images = _measure(config, paths)
    print(f"  -  Found {len(images)} images")
    if not images:
        raise AssertionError(f"no images found in {config.path}")
    _print_buckets(config, images)
    return images


def read_caption(config: DatasetConfig, image: Path) -> str:
    """Return the caption with the trigger word in it. Raise UnicodeDecodeError where it is not UTF-8."""
    path = image.with_suffix(config.caption_ext)
    text = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    caption = text or config.default_caption or ""
    trigger = config.trigger_word or ""
    caption = caption.replace("[trigger]", trigger).replace("[name]", trigger)
    if config.is_regularisation or trigger in caption:
        return caption
    return f"{trigger} {caption}"


def _image_paths(path: Any) -> list[Path]:
    if not os.path.isdir(path):  # noqa: PTH112 - a wrong type must fail as it does in the real program.
        with open(path, encoding="utf-8") as listing:  # noqa: PTH123
            return [Path(name) for name in json.load(listing)]
    return sorted(_walk(Path(path)))


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if Path(folder).name == CONTROLS_FOLDER:
            continue
        for name in names:
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                yield Path(folder, name)


def _measure(config: DatasetConfig, paths: list[Path]) -> list[TrainingImage]:
    size_file = Path(config.path) / SIZE_FILE
    sizes = _known_sizes(size_file)
    images = []
    for path in shown(paths, "", total=len(paths)):
        key = str(path).removeprefix(str(config.path))
        try:
            sizes[key] = _size(path, sizes.get(key))
        except OSError as exc:
            _report_unreadable(path, exc)
            continue
        images.append(TrainingImage(path, _bucket(config, *sizes[key][:2])))
    if size_file.parent.is_dir():
        size_file.write_text(json.dumps(sizes), encoding="utf-8")
    return images


def _known_sizes(size_file: Path) -> dict[str, Any]:
    sizes = json.loads(size_file.read_text(encoding="utf-8")) if size_file.exists() else {}
    if sizes.get("__version__") != SIZE_FILE_VERSION:
        return {"__version__": SIZE_FILE_VERSION}
    return dict(sizes)


def _size(path: Path, known: list[Any] | None) -> list[Any]:
    status = path.stat()
    signature = f"{status.st_size}:{int(status.st_mtime)}"
    if known is not None and known[2] == signature:
        return known
    with Image.open(path) as opened:
        # All of it is decoded, so that a picture that is cut off shows itself here.
        image = ImageOps.exif_transpose(opened)
        return [image.width, image.height, signature]


def _report_unreadable(path: Path, error: OSError) -> None:
    print(traceback.format_exc())
    print(f"Error processing image: {path}")
    print(error)


def _bucket(config: DatasetConfig, width: int, height: int) -> tuple[int, int]:
    """Return sides that are multiples of 32 with about the area asked for; a small image is not enlarged to it."""
    if not config.has_buckets:
        return config.resolution, config.resolution
    scale = min(1.0, config.resolution / (width * height) ** 0.5)
    return _to_step(width * scale), _to_step(height * scale)


def _to_step(side: float) -> int:
    return max(BUCKET_STEP, round(side / BUCKET_STEP) * BUCKET_STEP)


def _print_buckets(config: DatasetConfig, images: list[TrainingImage]) -> None:
    counts = Counter(image.bucket for image in images)
    print(f"Bucket sizes for {config.path}:")
    for (width, height), count in counts.items():
        print(f"{width}x{height}: {count} files")
    print(f"{len(counts)} buckets made")
