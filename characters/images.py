"""A character's photos: adding, listing and removing them."""

import hashlib
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from characters import files, photo_names, photos
from characters.models import Character, TrainingImage

logger = logging.getLogger(__name__)

# As many files as one request may have, each as large as it may be, and the form around them.
MAX_FILES_PER_UPLOAD = 100
MAX_UPLOAD_BYTES = MAX_FILES_PER_UPLOAD * photos.MAX_BYTES + 1_000_000
# What one character may have. Identity LoRAs are trained on tens of photos, so this bounds mistakes, not people.
MAX_IMAGES = 500
MAX_STORED_GIB = 2
MAX_STORED_BYTES = MAX_STORED_GIB * 1024**3


@dataclass(frozen=True, slots=True)
class SentPhoto:
    """A file as it was sent: under which name, and where it lies now."""

    name: str
    path: Path
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    filename: str
    reason: str


@dataclass(frozen=True, slots=True)
class UploadOutcome:
    uploaded: list[str] = field(default_factory=list)
    rejected: list[Refusal] = field(default_factory=list)

    def refuse(self, sent_as: str, reason: str) -> None:
        self.rejected.append(Refusal(photo_names.cleaned(sent_as) or photo_names.FALLBACK_STEM, reason))


def image_names(character_id: str) -> list[str]:
    """Return the names of a character's images, in the order of their arrival."""
    images = TrainingImage.objects.filter(character_id=character_id).order_by("pk")
    return list(images.values_list("name", flat=True))


def image_details(character_id: str) -> list[dict[str, Any]]:
    """Return what is known of each of a character's images, in the order of their arrival."""
    images = TrainingImage.objects.filter(character_id=character_id).order_by("pk")
    named = {"filename": F("name"), "added": F("created_at")}
    return [dict(row) for row in images.values("width", "height", "bytes", "caption", "content_type", **named)]


def add_photos(character_id: str, sent: Iterable[SentPhoto]) -> UploadOutcome:
    """Keep each photo that can be trained with. Raises Character.DoesNotExist."""
    outcome = UploadOutcome()
    for photo in sent:
        try:
            outcome.uploaded.append(add_photo(character_id, photo))
        except photos.PhotoRefused as refused:
            outcome.refuse(photo.name, str(refused))
            logger.info("Photo refused", extra={"character": character_id, "reason": str(refused)})
    return outcome


def add_photo(character_id: str, sent: SentPhoto) -> str:
    """Keep one photo and return its public name; bytes that the character has already keep the name they have.

    Raises photos.PhotoRefused and Character.DoesNotExist.
    """
    with sent.path.open("rb") as file:
        sha256_as_sent = hashlib.file_digest(file, "sha256").hexdigest()
    siblings = TrainingImage.objects.filter(character_id=character_id)
    known = _twin(siblings, sha256_as_sent)
    if known is None:
        # Looked at again when it is recorded; here it saves the decoding.
        _refuse_beyond_quota(siblings, more_bytes=0)
        photo = photos.accept(sent.path)
        image = _image_of(character_id, photo, sha256_as_sent=sha256_as_sent)
        image.caption = sent.caption
        known = _keep(character_id, image, photo, sent.name)
    if sent.caption is not None and known.caption != sent.caption:
        siblings.filter(pk=known.pk).update(caption=sent.caption)
    return known.name


def _twin(siblings: QuerySet[TrainingImage], sha256_as_sent: str) -> TrainingImage | None:
    """Return the image that was made of these bytes, or that is these bytes: people send back what they fetched."""
    return siblings.filter(Q(sha256_as_sent=sha256_as_sent) | Q(sha256=sha256_as_sent)).order_by("pk").first()


def _refuse_beyond_quota(siblings: QuerySet[TrainingImage], *, more_bytes: int) -> None:
    has = siblings.aggregate(images=Count("pk"), stored_bytes=Coalesce(Sum("bytes"), 0))
    if has["images"] >= MAX_IMAGES:
        raise photos.PhotoRefused(f"The character has its {MAX_IMAGES} images already")
    if has["stored_bytes"] + more_bytes > MAX_STORED_BYTES:
        raise photos.PhotoRefused(f"The character's images would take more than {MAX_STORED_GIB} GiB")


def _image_of(character_id: str, photo: photos.AcceptedPhoto, *, sha256_as_sent: str) -> TrainingImage:
    sha256 = hashlib.sha256(photo.content).hexdigest()
    # The random part gives every upload a file of its own, so that removing one never takes the file of its twin.
    key = f"uploads/{character_id}/{sha256[:32]}-{secrets.token_hex(4)}{photo.extension}"
    return TrainingImage(
        character_id=character_id,
        key=key,
        sha256_as_sent=sha256_as_sent,
        sha256=sha256,
        content_type=photo.content_type,
        width=photo.width,
        height=photo.height,
        bytes=len(photo.content),
    )


def _keep(character_id: str, image: TrainingImage, photo: photos.AcceptedPhoto, sent_as: str) -> TrainingImage:
    files.publish(image.key, BytesIO(photo.content))
    is_kept = False
    try:
        kept = _record(character_id, image, wanted=photo_names.public_name(sent_as, photo.extension))
        is_kept = kept.key == image.key
    finally:
        if not is_kept:
            files.discard_unnamed(image.key, TrainingImage.objects.all())
    return kept


@transaction.atomic
def _record(character_id: str, image: TrainingImage, *, wanted: str) -> TrainingImage:
    """Save `image` under a free name and return it, or the image of the same bytes that came first.

    Raises photos.PhotoRefused and Character.DoesNotExist.
    """
    # Uploads to one character take turns from here on: two of one file or one name cannot both look before they write,
    # and none can arrive while the character is being deleted.
    Character.objects.select_for_update(no_key=True).get(pk=character_id)
    siblings = TrainingImage.objects.filter(character_id=character_id)
    twin = _twin(siblings, image.sha256_as_sent)
    if twin:
        return twin
    _refuse_beyond_quota(siblings, more_bytes=image.bytes)
    image.name = photo_names.free_name(wanted, set(siblings.values_list("name", flat=True)))
    image.save(force_insert=True)
    return image


@transaction.atomic
def delete_image(image_id: int) -> None:
    """Remove an image and its file. Raises TrainingImage.DoesNotExist."""
    image = TrainingImage.objects.select_for_update().get(pk=image_id)
    image.delete()
    transaction.on_commit(partial(files.discard, [image.key]), robust=True)
