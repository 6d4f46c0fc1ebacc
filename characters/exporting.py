"""A character's images and captions as one ZIP file, made while it is sent."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from django.core.files.storage import default_storage

from characters.models import TrainingImage

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
# A plain file that its owner may change and everybody else may read.
PERMISSIONS = 0o100644


class _Outbox:
    """What `zipfile` has written and nobody has sent yet. It has no `seek`, so nothing is changed after it was sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is held."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def image_archive(character_id: str) -> Iterator[bytes]:
    """Yield a ZIP file of the images, each with its caption in `<stem>.txt` or, where stems are shared, `<name>.txt`.

    It holds one piece of one image in memory. An image that is deleted meanwhile is left out.
    """
    images = list(TrainingImage.objects.filter(character_id=character_id).order_by("pk"))
    stems = Counter(_stem(image) for image in images)
    outbox = _Outbox()
    with ZipFile(outbox, "w", ZIP_STORED) as archive:
        for image in images:
            caption_name = _stem(image) if stems[_stem(image)] == 1 else image.name
            for _ in _written(archive, image, caption_name=f"{caption_name}.txt"):
                yield outbox.take()
    yield outbox.take()


def _stem(image: TrainingImage) -> str:
    return PurePosixPath(image.name).stem


def _written(archive: ZipFile, image: TrainingImage, *, caption_name: str) -> Iterator[None]:
    """Write an image and its caption, piece by piece."""
    try:
        stored = default_storage.open(image.key, "rb")
    except FileNotFoundError:
        logger.info("An image went while its character was exported", extra={"key": image.key})
        return
    with stored, archive.open(_member(image.name, image), "w") as member:
        while chunk := stored.read(CHUNK_BYTES):
            member.write(chunk)
            yield
    if image.caption:
        archive.writestr(_member(caption_name, image), image.caption)
        yield


def _member(name: str, image: TrainingImage) -> ZipInfo:
    member = ZipInfo(name, date_time=image.created_at.timetuple()[:6])
    member.external_attr = PERMISSIONS << 16
    return member
