"""A private copy of the training pictures, as ai-toolkit wants them: pictures and caption files side by side.

ai-toolkit writes caches beside the pictures and finds them again by file name alone, so the copy is the job's own and
every name is the hash of the content: another picture can never be trained from the latents of an older one.
The copy is made once. Whatever becomes of the character's images meanwhile, later attempts train on it too.
"""

import errno
import hashlib
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.errors import EngineFailed
from jobs.events import Log, Tick
from training.engines.aitoolkit.captions import caption_for, lacks_caption
from training.engines.aitoolkit.manifest import Manifest, Picture, read_manifest, write_manifest
from training.engines.aitoolkit.prompts import plain_trigger
from training.engines.aitoolkit.workspace import workspace_for
from training.engines.order import SourceImage, TrainingOrder

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
# Text encoders read the first few hundred words; what is longer is no caption but some other file's content.
_MAX_CAPTION_BYTES = 20_000
_BLOCK_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def stage_dataset(order: TrainingOrder, folder: Path) -> Generator[Tick, None, list[Log]]:
    """Make `folder` hold the order's pictures; a whole copy of an earlier attempt is left as it is, with its caches.

    Return what the job's log should say. Raises EngineFailed when there is nothing to train on, or no room for it.
    """
    pinned = pinned_dataset(folder)
    if pinned is not None:
        return [*_describe(pinned), *_warn_of_change(pinned, order.dataset_hash)]
    manifest = yield from _replace(order, folder)
    return [*_describe(manifest), *_warn_of_omissions(manifest), *_warn_of_change(manifest, order.dataset_hash)]


def has_pinned_dataset(job_id: str, root: Path) -> bool:
    """Return whether a job's workspace on this machine holds the copy of an earlier attempt: no images are needed."""
    return pinned_dataset(workspace_for(job_id, root, attempt=0).dataset) is not None


def pinned_dataset(folder: Path) -> Manifest | None:
    """Return what an earlier attempt staged, None unless every file of it is still there as it was."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    present = {path.name for path in folder.iterdir() if path.suffix in _SUFFIXES}
    is_whole = present == {picture.name for picture in manifest.pictures}
    return manifest if is_whole and all(_is_staged(folder, picture) for picture in manifest.pictures) else None


def _is_staged(folder: Path, picture: Picture) -> bool:
    path = folder / picture.name
    try:
        caption = path.with_suffix(".txt").read_bytes()
        return path.stat().st_size == picture.size_bytes and _sha256(caption) == picture.caption_sha256
    except OSError:
        return False


def _replace(order: TrainingOrder, folder: Path) -> Generator[Tick, None, Manifest]:
    # Only a whole copy ever gets the folder's name, so an attempt that was killed here leaves nothing half-staged.
    partial = folder.with_name(f"{folder.name}.partial")
    _remove(partial)
    with _explained(partial):
        partial.mkdir(parents=True)
        manifest = yield from _copy_all(order, partial)
        write_manifest(partial, manifest)
        _remove(folder)
        partial.rename(folder)
    return manifest


@contextmanager
def _explained(partial: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        _remove(partial)
        if exc.errno in _FULL:
            raise EngineFailed(
                "The disk is full, so the training images cannot be copied: free some space on the training machine, "
                "then run the job again.",
                cause="disk_full",
            ) from exc
        raise EngineFailed(f"The training images cannot be copied: {exc.strerror or exc}.") from exc


def _copy_all(order: TrainingOrder, partial: Path) -> Generator[Tick, None, Manifest]:
    pictures: dict[str, Picture] = {}
    for image in order.images:
        picture = _copy(order, image, partial)
        pictures.setdefault(picture.name, picture)
        yield Tick()
    if not pictures:
        raise EngineFailed("There are no training images: upload some to the character first.")
    strategy = order.params.caption_strategy
    return Manifest(
        caption_strategy=strategy,
        pictures=tuple(pictures.values()),
        duplicate_count=len(order.images) - len(pictures),
        captionless_count=sum(lacks_caption(image.caption, strategy) for image in order.images),
    )


def _copy(order: TrainingOrder, image: SourceImage, partial: Path) -> Picture:
    """Copy a picture under its content's name, and its caption; of pictures that are the same the first one's stays."""
    arriving = partial / ".arriving"
    digest = _copy_content(image, arriving)
    target = partial / f"{digest[:32]}{image.path.suffix.lower()}"
    caption = _caption(order, image, seed=digest[:32])
    if not target.exists():
        target.with_suffix(".txt").write_bytes(caption)
    size_bytes = arriving.stat().st_size
    arriving.replace(target)
    return Picture(
        name=target.name,
        title=image.title,
        image_id=image.image_id,
        sha256=digest,
        caption_sha256=_sha256(caption),
        size_bytes=size_bytes,
    )


def _copy_content(image: SourceImage, target: Path) -> str:
    """Return the SHA-256 of what was copied: hashed on the way, because the original could change in between."""
    if image.path.suffix.lower() not in _SUFFIXES:
        raise EngineFailed(f"The training image {image.title} is neither JPEG, PNG nor WebP.")
    digest = hashlib.sha256()
    with target.open("wb") as copy:
        for block in _blocks(image):
            digest.update(block)
            copy.write(block)
    if image.sha256 not in ("", digest.hexdigest()):
        raise EngineFailed(f"The training image {image.title} is damaged: delete it and upload it again.")
    return digest.hexdigest()


def _blocks(image: SourceImage) -> Iterator[bytes]:
    try:
        with image.path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block
    except OSError as exc:
        raise EngineFailed(f"The training image {image.title} cannot be read: {exc.strerror}.") from exc


def _caption(order: TrainingOrder, image: SourceImage, *, seed: str) -> bytes:
    trigger = plain_trigger(order.trigger_word)
    text = caption_for(image.caption, strategy=order.params.caption_strategy, trigger=trigger, seed=seed)
    try:
        caption = text.encode()
    except UnicodeEncodeError as exc:
        # ai-toolkit reads captions as strict UTF-8 and would fail on it in the midst of the run.
        raise EngineFailed(f"The caption of {image.title} is no valid text: write it again.") from exc
    if len(caption) > _MAX_CAPTION_BYTES:
        raise EngineFailed(f"The caption of {image.title} has {len(caption)} bytes; at most {_MAX_CAPTION_BYTES} do.")
    return caption


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _describe(manifest: Manifest) -> list[Log]:
    facts = manifest.as_facts()
    text = f"Training on {len(manifest.pictures)} images, dataset {manifest.dataset_hash[:12]}."
    return [Log(message=text, event="training.dataset", fields={"dataset": facts})]


def _warn_of_omissions(manifest: Manifest) -> list[Log]:
    doubled, captionless, strategy = manifest.duplicate_count, manifest.captionless_count, manifest.caption_strategy
    remarks = []
    if doubled:
        remarks.append(Log(message=f"{doubled} images occur twice and count once.", event="training.dataset"))
    if captionless:
        total = len(manifest.pictures) + doubled
        text = f"{captionless} of {total} images have no caption: they use trigger_only instead of {strategy}."
        remarks.append(Log(message=text, level="WARNING", event="training.dataset"))
    return remarks


def _warn_of_change(manifest: Manifest, earlier_hash: str | None) -> list[Log]:
    if earlier_hash in (None, manifest.dataset_hash):
        return []
    text = "The images or captions are not those of the attempt before, whose copy is not on this machine."
    return [Log(message=text, level="WARNING", event="training.dataset")]
