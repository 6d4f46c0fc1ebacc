"""The images that generations work from: uploaded, or taken over from an output, and kept while a job names them."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone
from PIL import Image
from rest_framework.exceptions import NotFound

from characters import files, photos
from generation.models import InputImage, InputUse
from generation.params import IMAGE_FIELDS, GenerationParams, ImageField
from jobs.leftovers import Leftover, unnamed_files
from jobs.models import LIVE, Artifact, Job

FOLDER = "inputs"
PREFIX = "input-"
KEPT_DAYS = 7
"""How long an image stays that no job was made from, since it was last uploaded."""
MAX_UNUSED_GIB = 5


class InputInUse(Exception):
    """The image cannot be removed now; the text says why to the person who wants it gone."""


class InputsFull(Exception):
    """Too many images wait for a job; the text says so to the person who uploads one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A picture as it will be kept."""

    content: bytes
    width: int
    height: int
    content_type: str
    extension: str


def add_upload(path: Path) -> InputImage:
    """Keep the picture at `path`, upright and without metadata. Raises photos.PhotoRefused and InputsFull."""
    unused_bytes = InputImage.objects.filter(uses__isnull=True).aggregate(total=Sum("size_bytes"))["total"] or 0
    if unused_bytes > MAX_UNUSED_GIB * 1024**3:
        raise InputsFull(f"{MAX_UNUSED_GIB} GiB of uploaded images wait for a job already: delete some, or use them.")
    photo = photos.accept(path)
    return _keep(
        Content(
            content=photo.content,
            width=photo.width,
            height=photo.height,
            content_type=photo.content_type,
            extension=photo.extension,
        )
    )


def _keep(picture: Content) -> InputImage:
    sha256 = hashlib.sha256(picture.content).hexdigest()
    name = f"{PREFIX}{sha256}{picture.extension}"
    # The random part gives every upload a file of its own, so that removing one never takes the file of its twin.
    key = f"{FOLDER}/{sha256[:32]}-{secrets.token_hex(4)}{picture.extension}"
    if InputImage.objects.filter(pk=name).update(asked_for_at=timezone.now()):
        return InputImage.objects.get(pk=name)
    files.publish(key, BytesIO(picture.content))
    facts = {
        "key": key,
        "content_type": picture.content_type,
        "width": picture.width,
        "height": picture.height,
        "size_bytes": len(picture.content),
        "sha256": sha256,
    }
    image, is_new = InputImage.objects.get_or_create(name=name, defaults=facts)
    if not is_new:
        files.discard([key])
    return image


def find_input(name: str) -> InputImage:
    """Raises NotFound."""
    image = InputImage.objects.filter(pk=name).first() if "\0" not in name else None
    if image is None:
        raise NotFound(f"Image {name} not found")
    return image


def resolved(params: GenerationParams) -> dict[ImageField, InputImage]:
    """Return the images that the parameters name. An output is copied: its own job may go. Raises NotFound."""
    named = {field: getattr(params, field) for field in IMAGE_FIELDS}
    return {field: _resolved(name) for field, name in named.items() if name is not None}


def _resolved(name: str) -> InputImage:
    if name.startswith(PREFIX):
        return find_input(name)
    output = Artifact.objects.filter(type="output", name=name).first()
    if output is None:
        raise NotFound(f"Image {name} not found")
    try:
        with default_storage.open(output.key, "rb") as stored:
            content = stored.read()
    except FileNotFoundError as exc:
        raise NotFound(f"The file of {name} is missing") from exc
    with Image.open(BytesIO(content), formats=("PNG",)) as picture:
        width, height = picture.size
    return _keep(Content(content=content, width=width, height=height, content_type="image/png", extension=".png"))


def pin(images: Mapping[ImageField, InputImage], job: Job) -> None:
    """Keep the images for as long as the job is there. Called in the job's transaction. Raises NotFound."""
    _pin({image.pk for image in images.values()}, job)


def _pin(names: Set[str], job: Job) -> dict[str, InputImage]:
    # Whoever deletes one of them holds its row meanwhile.
    held = {row.pk: row for row in InputImage.objects.select_for_update().filter(pk__in=names).order_by("pk")}
    for name in sorted(names - held.keys()):
        raise NotFound(f"Image {name} not found")
    InputUse.objects.bulk_create(InputUse(image_id=name, job=job) for name in sorted(held))
    return held


def pin_again(job: Job) -> None:
    """Keep the images that the order of a repeated job names. Called in the job's transaction. Raises NotFound."""
    named: dict[ImageField, dict[str, str]] = job.order.get("images", {})
    held = _pin({image["name"] for image in named.values()}, job)
    # What was deleted and uploaded again has its old name, and another file.
    current = {field: image | {"key": held[image["name"]].key} for field, image in named.items()}
    if current != named:
        job.order = job.order | {"images": current}
        job.save(update_fields=["order"])


@transaction.atomic
def delete_input(name: str) -> None:
    """Remove an image and its file. Raises NotFound and InputInUse."""
    image = InputImage.objects.select_for_update().filter(pk=name).first()
    if image is None:
        raise NotFound(f"Image {name} not found")
    at_work = Q(job__status__in=LIVE) | Q(job__holder__isnull=False)
    user = image.uses.filter(at_work).order_by("job__created_at").first()
    if user is not None:
        raise InputInUse(f"Image {name} is in use by {user.job_id}: wait for it, or cancel it first.")
    image.uses.all().delete()
    image.delete()
    transaction.on_commit(partial(files.discard, [image.key]), robust=True)


def find_leftovers(before: datetime) -> Iterator[Leftover]:
    """Yield images that no job was made from for KEPT_DAYS, and files that no row names."""
    long_ago = min(before, timezone.now() - timedelta(days=KEPT_DAYS))
    unused = InputImage.objects.filter(uses__isnull=True, asked_for_at__lt=long_ago)
    for image in unused.order_by("pk").iterator():
        yield Leftover(
            name=image.key,
            size_bytes=image.size_bytes,
            why=f"no job was made from it in {KEPT_DAYS} days",
            has_row=True,
            remove=partial(_forget, image.pk),
        )
    yield from unnamed_files(FOLDER, before=before, named=_named)


def _named(keys: list[str]) -> set[str]:
    return set(InputImage.objects.filter(key__in=keys).values_list("key", flat=True))


@transaction.atomic
def _forget(name: str) -> None:
    image = InputImage.objects.select_for_update().filter(pk=name).first()
    # Asked after the lock: a job may have pinned it while this waited.
    if image is not None and not image.uses.exists():
        image.delete()
        transaction.on_commit(partial(files.discard, [image.key]), robust=True)
