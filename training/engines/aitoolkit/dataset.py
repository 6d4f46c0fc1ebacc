"""A private copy of the training pictures, as ai-toolkit wants them: pictures and caption files side by side.

ai-toolkit writes caches beside the pictures and finds them again by file name alone, so the copy is the job's own and
every name is the hash of the content: another picture can never be trained from the latents of an older one.
"""

import hashlib
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import EngineFailed
from jobs.events import Log, Tick
from training.engines.aitoolkit.captions import caption_for, lacks_caption
from training.engines.aitoolkit.prompts import plain_trigger
from training.engines.order import SourceImage, TrainingOrder

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class _Picture:
    source: Path
    caption: bytes


def stage_dataset(order: TrainingOrder, folder: Path) -> Generator[Tick, None, list[Log]]:
    """Make `folder` hold exactly the order's pictures; one that already does is left as it is, with its caches.

    Return what the job's log should say. Raises EngineFailed when there is nothing to train on.
    """
    pictures = yield from _plan(order)
    if not _holds(folder, pictures):
        yield from _replace(folder, pictures, partial=folder.with_name(f"{folder.name}.partial"))
    return _remarks(order, len(pictures))


def _plan(order: TrainingOrder) -> Generator[Tick, None, dict[str, _Picture]]:
    pictures: dict[str, _Picture] = {}
    for image in order.images:
        digest = _digest(image.path)
        name = f"{digest}{image.path.suffix.lower()}"
        pictures.setdefault(name, _Picture(image.path, _caption(order, image, digest)))
        yield Tick()
    if not pictures:
        raise EngineFailed("There are no training images: upload some to the character first.")
    return pictures


def _digest(path: Path) -> str:
    if path.suffix.lower() not in _SUFFIXES:
        raise EngineFailed(f"The training image {path.name} is neither JPEG, PNG nor WebP.")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as exc:
        raise EngineFailed(f"The training image {path.name} cannot be read: {exc.strerror}.") from exc


def _caption(order: TrainingOrder, image: SourceImage, digest: str) -> bytes:
    trigger = plain_trigger(order.trigger_word)
    text = caption_for(image.caption, strategy=order.params.caption_strategy, trigger=trigger, seed=digest)
    # ai-toolkit reads captions as strict UTF-8 and would fail on a lone surrogate.
    return text.encode("utf-8", errors="replace")


def _holds(folder: Path, pictures: Mapping[str, _Picture]) -> bool:
    if not folder.is_dir():
        return False
    present = {path.name for path in folder.iterdir() if path.suffix in _SUFFIXES}
    return present == pictures.keys() and all(_is_staged(folder / name, picture) for name, picture in pictures.items())


def _is_staged(path: Path, picture: _Picture) -> bool:
    caption = path.with_suffix(".txt")
    return (
        path.stat().st_size == picture.source.stat().st_size
        and caption.is_file()
        and caption.read_bytes() == picture.caption
    )


def _replace(folder: Path, pictures: Mapping[str, _Picture], *, partial: Path) -> Generator[Tick, None, None]:
    # Only a whole copy ever gets the folder's name, so an attempt that was killed here leaves nothing half-staged.
    _remove(partial)
    partial.mkdir(parents=True)
    for name, picture in pictures.items():
        shutil.copyfile(picture.source, partial / name)
        (partial / name).with_suffix(".txt").write_bytes(picture.caption)
        yield Tick()
    _remove(folder)
    partial.rename(folder)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _remarks(order: TrainingOrder, picture_count: int) -> list[Log]:
    strategy, total = order.params.caption_strategy, len(order.images)
    captionless = sum(lacks_caption(image.caption, strategy) for image in order.images)
    remarks = [Log(message=f"Training on {picture_count} images.", event="training.dataset")]
    if picture_count < total:
        remarks.append(
            Log(message=f"{total - picture_count} images occur twice and count once.", event="training.dataset")
        )
    if captionless:
        text = f"{captionless} of {total} images have no caption: they use trigger_only instead of {strategy}."
        remarks.append(Log(message=text, level="WARNING", event="training.dataset"))
    return remarks
