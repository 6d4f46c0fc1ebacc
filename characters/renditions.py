"""Copies of pictures, smaller or in another format. Framework-free."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import IO, Any, Literal, get_args

from PIL import ExifTags, Image

from characters.photos import FORMATS, UNREADABLE

FormatName = Literal["webp", "jpeg", "png"]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)
CONTENT_TYPES: Mapping[FormatName, str] = MappingProxyType({name: f"image/{name}" for name in FORMAT_NAMES})
EXTENSIONS: Mapping[FormatName, str] = MappingProxyType({"webp": ".webp", "jpeg": ".jpg", "png": ".png"})
THUMBNAIL_OPTIONS: Mapping[FormatName, Mapping[str, Any]] = MappingProxyType(
    {"webp": {"quality": 80}, "jpeg": {"quality": 85}, "png": {"compress_level": 6}}
)
# For who wants the picture itself: fine detail and colours as good as a lossy format can keep them.
WHOLE_OPTIONS: Mapping[FormatName, Mapping[str, Any]] = MappingProxyType(
    {"webp": {"quality": 92}, "jpeg": {"quality": 95, "subsampling": 0}, "png": {"compress_level": 6}}
)
THUMBNAIL_SIDE_PIXELS = 1024
"""The longest side of what is made within a moment."""

# The text in which generated PNGs say how they were made, and where photo formats have room for it.
PARAMETERS = "parameters"
UTF_16_COMMENT = b"UNICODE\0"
MAX_COMMENT_BYTES = 60_000

# Apart from the decoders of uploads, so that a page of pictures does not wait for somebody's hundred photos.
_thumbnails = threading.BoundedSemaphore(2)
# A large picture takes seconds and hundreds of megabytes. The threads that answer requests must not all wait for these.
_large = threading.BoundedSemaphore(1)
_large_admitted = threading.BoundedSemaphore(3)


class PictureUnreadable(Exception):
    """The file is no picture, or a broken one."""


class TooBusy(Exception):
    """Enough large pictures are being converted; the same is worth a try some seconds later."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """`side_pixels`: the longest side at most; None: as it is."""

    format: FormatName
    side_pixels: int | None

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.format]

    @property
    def name(self) -> str:
        return f"{self.side_pixels or 'whole'}{EXTENSIONS[self.format]}"

    @property
    def suffix(self) -> str:
        """What a file's name ends in that is offered to people."""
        return EXTENSIONS[self.format] if self.side_pixels is None else f"-{self.name}"

    @property
    def is_thumbnail(self) -> bool:
        return self.side_pixels is not None and self.side_pixels <= THUMBNAIL_SIDE_PIXELS


def render(picture: IO[bytes], wanted: Rendition) -> bytes:
    """Return `picture` as `wanted`; it is never enlarged. Raises PictureUnreadable and TooBusy.

    A smaller copy carries no metadata. One of the whole size keeps what a generated PNG says of how it was made.
    """
    with _turn(wanted):
        try:
            return _rendered(picture, wanted)
        except UNREADABLE as exc:
            raise PictureUnreadable(str(exc)) from exc


@contextmanager
def _turn(wanted: Rendition) -> Iterator[None]:
    if wanted.is_thumbnail:
        with _thumbnails:
            yield
        return
    if not _large_admitted.acquire(blocking=False):
        raise TooBusy
    try:
        with _large:
            yield
    finally:
        _large_admitted.release()


def _rendered(picture: IO[bytes], wanted: Rendition) -> bytes:
    options = dict(WHOLE_OPTIONS[wanted.format] if wanted.side_pixels is None else THUMBNAIL_OPTIONS[wanted.format])
    with Image.open(picture, formats=FORMATS) as image:
        if wanted.side_pixels is None:
            options |= _explanation(image, wanted.format)
        else:
            # Of a JPEG this decodes no more than an eighth, a quarter or a half of each side, where that is enough.
            side = wanted.side_pixels
            image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        pixels = _in_mode_of(image, wanted.format)
    # Pillow writes what it finds here: comments, profiles, texts.
    pixels.info.clear()
    content = BytesIO()
    pixels.save(content, wanted.format.upper(), **options)
    return content.getvalue()


def _in_mode_of(image: Image.Image, name: FormatName) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    pixels = image.convert("RGBA")
    if name != "jpeg":
        return pixels
    # What shines through where there is no transparency is white, as on a page.
    page = Image.new("RGBA", pixels.size, "white")
    page.alpha_composite(pixels)
    return page.convert("RGB")


def _explanation(image: Image.Image, name: FormatName) -> dict[str, Any]:
    text = image.info.get(PARAMETERS)
    if not isinstance(text, str) or name == "png":
        return {}
    comment = UTF_16_COMMENT + text.encode("utf-16-be")
    if len(comment) > MAX_COMMENT_BYTES:
        return {}
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return {"exif": exif}
