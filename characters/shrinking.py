"""Small copies of pictures. Framework-free."""

import threading
from io import BytesIO
from typing import IO

from PIL import Image

from characters.photos import FORMATS, UNREADABLE

CONTENT_TYPE = "image/webp"
EXTENSION = ".webp"
WEBP_QUALITY = 80

# Apart from the decoders of uploads, so that a page of pictures does not wait for somebody's hundred photos.
_decoders = threading.BoundedSemaphore(2)


class PictureUnreadable(Exception):
    """The file is no picture, or a broken one."""


def shrunk(picture: IO[bytes], side_pixels: int) -> bytes:
    """Return `picture` as WebP whose longest side is at most `side_pixels`; it is never enlarged.

    Raises PictureUnreadable.
    """
    with _decoders:
        try:
            return _as_webp(picture, side_pixels)
        except UNREADABLE as exc:
            raise PictureUnreadable(str(exc)) from exc


def _as_webp(picture: IO[bytes], side_pixels: int) -> bytes:
    with Image.open(picture, formats=FORMATS) as image:
        # Of a JPEG this decodes no more than an eighth, a quarter or a half of each side, where that is enough.
        image.thumbnail((side_pixels, side_pixels), Image.Resampling.LANCZOS, reducing_gap=2.0)
        pixels = image.convert("RGBA" if image.has_transparency_data else "RGB")
    # Pillow writes what it finds here: a generated picture carries its whole workflow.
    pixels.info.clear()
    small = BytesIO()
    pixels.save(small, "WEBP", quality=WEBP_QUALITY)
    return small.getvalue()
