"""Whether a file is a photo to train with, and that photo in a clean form. Framework-free."""

import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from struct import error as StructError  # noqa: N812 -- an exception class, whatever its module calls it.
from typing import Any

import pillow_heif
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

# Only the picture itself: what else a phone puts beside it would be decoded for nothing.
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

MAX_BYTES = 20_000_000
MIN_SIDE_PIXELS = 64
MAX_SIDE_PIXELS = 8192

INVALID_TYPE = "Invalid image type"
CORRUPT = "Image is corrupt"
TOO_LARGE = "Image is too large"
TOO_SMALL = "Image is too small"
ANIMATED = "Animated images are not supported"

# Pillow would try more than forty decoders; the rare ones are where its vulnerabilities are found.
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")
# Phones put a second picture (depth, HDR gain, the rest of a burst) into these; the first is the photo.
WITH_COMPANIONS = ("MPO", "HEIF")
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    # What libheif raises where a file asks for more memory than it allows.
    RuntimeError,
    StructError,
    zlib.error,
)
UPRIGHT: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The largest photo allowed takes about 270 MB per copy once decoded, so only so many are decoded at a time.
_decoders = threading.BoundedSemaphore(2)


class PhotoRefused(Exception):
    """The file cannot be trained with; the text says why to the person who sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    content_type: str
    extension: str
    options: Mapping[str, Any]


# Lossy WebP takes a minute for the largest photos and can fail on fine detail; this takes seconds and loses nothing.
FAST_LOSSLESS = {"lossless": True, "quality": 0, "method": 0, "exact": True}
ENCODINGS: Mapping[str, Encoding] = {
    "JPEG": Encoding(content_type="image/jpeg", extension=".jpg", options={"quality": 95, "subsampling": 0}),
    "PNG": Encoding(content_type="image/png", extension=".png", options={"compress_level": 3}),
    "WEBP": Encoding(content_type="image/webp", extension=".webp", options=FAST_LOSSLESS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedPhoto:
    """A photo decoded and encoded again: upright, 8-bit sRGB, and nothing but its pixels."""

    content: bytes
    width: int
    height: int
    content_type: str
    extension: str


def accept(path: Path) -> AcceptedPhoto:
    """Return the photo at `path`, in its own format unless that is one of phones alone. Raises PhotoRefused."""
    if path.stat().st_size > MAX_BYTES:
        raise PhotoRefused(TOO_LARGE)
    with _decoders, _refusing_what_cannot_be_read():
        _check(path)
        with _opened(path) as image:
            # `verify` is content with a truncated JPEG; only decoding every pixel shows it.
            image.load()
            # What a HEIC says of its size may not be what is in it.
            _check_sides(image)
            return _encoded_again(image)


@contextmanager
def _refusing_what_cannot_be_read() -> Iterator[None]:
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise PhotoRefused(TOO_LARGE) from exc
    except UNREADABLE as exc:
        raise PhotoRefused(CORRUPT) from exc


def _check(path: Path) -> None:
    with _opened(path) as image:
        _check_sides(image)
        if _is_animated(image):
            raise PhotoRefused(ANIMATED)
        image.verify()


def _check_sides(image: Image.Image) -> None:
    if max(image.size) > MAX_SIDE_PIXELS:
        raise PhotoRefused(TOO_LARGE)
    if min(image.size) < MIN_SIDE_PIXELS:
        raise PhotoRefused(TOO_SMALL)


def _is_animated(image: ImageFile.ImageFile) -> bool:
    if image.format in WITH_COMPANIONS:
        return str(image.get_format_mimetype()).endswith("-sequence")
    return bool(getattr(image, "is_animated", False))


def _opened(path: Path) -> ImageFile.ImageFile:
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as exc:
        raise PhotoRefused(CORRUPT if _claims_to_be_a_photo(path) else INVALID_TYPE) from exc


def _claims_to_be_a_photo(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    is_heic = head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev")
    is_webp = head[:4] == b"RIFF" and head[8:] == b"WEBP"
    return is_heic or is_webp or head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


def _encoded_again(image: Image.Image) -> AcceptedPhoto:
    name = _kept_as(image)
    encoding = ENCODINGS[name]
    pixels = _in_srgb(_upright(image))
    # Pillow writes comments, profiles and resolutions that it finds here, asked for or not.
    pixels.info.clear()
    encoded = BytesIO()
    pixels.save(encoded, format=name, **encoding.options)
    return AcceptedPhoto(
        content=encoded.getvalue(),
        width=pixels.width,
        height=pixels.height,
        content_type=encoding.content_type,
        extension=encoding.extension,
    )


def _kept_as(image: Image.Image) -> str:
    """Return the format to encode in: a phone's own formats become JPEG, or PNG where JPEG would lose transparency."""
    if image.format not in WITH_COMPANIONS:
        return str(image.format)
    return "PNG" if image.has_transparency_data else "JPEG"


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except UNREADABLE:
        # Broken metadata is no reason to refuse pixels that are whole; it is removed anyway.
        return image
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return `image` as 8-bit RGB, or RGBA where it has transparency, in the sRGB colour space."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = image.point(lambda value: value / 256).convert("L")
    if image.mode not in ("CMYK", "L", "RGB") or mode == "RGBA":
        image = image.convert(mode)
    if profile:
        image = _converted(image, mode, profile=profile)
    return image if image.mode == mode else image.convert(mode)


def _converted(image: Image.Image, mode: str, *, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, *UNREADABLE):
        # Viewers ignore a profile that is broken or of another colour space, and so does the trainer.
        return image
    return image if converted is None else converted
