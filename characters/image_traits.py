"""What can be measured of a photo's pixels: how sharp it is, and a hash that similar pictures share. Framework-free."""

import threading
from dataclasses import dataclass
from typing import IO

from PIL import Image, ImageFilter, ImageStat

from characters.photos import FORMATS, UNREADABLE

# Sharpness depends on the size it is measured at: this is about the size that trainings see.
MEASURED_SIDE_PIXELS = 512
HASH_SIDE = 8
# Sums up the differences to the four neighbours, about the middle of what a byte can hold.
_LAPLACE = ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1, offset=128)
# One at a time: nobody waits for a report as they wait for an upload or a page of pictures.
_turn = threading.BoundedSemaphore(1)


class PictureUnreadable(Exception):
    """The file is no picture, or a broken one."""


@dataclass(frozen=True, slots=True)
class Traits:
    """`sharpness`: the variance of the Laplacian of grey values from 0 to 255. `dhash`: 64 bits as hexadecimal digits,
    of which two pictures share the more, the more alike they look."""

    sharpness: float
    dhash: str


def measure(picture: IO[bytes]) -> Traits:
    """Raises PictureUnreadable."""
    with _turn:
        try:
            grey = _small_and_grey(picture)
        except UNREADABLE as exc:
            raise PictureUnreadable(str(exc)) from exc
    return Traits(sharpness=_sharpness(grey), dhash=_difference_hash(grey))


def bits_apart(one: str, other: str) -> int:
    """Return in how many of 64 bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _small_and_grey(picture: IO[bytes]) -> Image.Image:
    with Image.open(picture, formats=FORMATS) as image:
        # Of a JPEG this decodes no more than is needed.
        side = MEASURED_SIDE_PIXELS
        image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=2.0)
        return image.convert("L")


def _sharpness(grey: Image.Image) -> float:
    edges = grey.filter(_LAPLACE)
    # The outermost pixels have no neighbours on one side: the filter leaves them as they are.
    inner = edges.crop((1, 1, edges.width - 1, edges.height - 1))
    return round(float(ImageStat.Stat(inner).var[0]), 1)


def _difference_hash(grey: Image.Image) -> str:
    """Return which of neighbouring areas is the brighter, row by row."""
    cells = grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    rows = [cells.crop((0, y, HASH_SIDE + 1, y + 1)).tobytes() for y in range(HASH_SIDE)]
    bits = "".join("1" if row[x] > row[x + 1] else "0" for row in rows for x in range(HASH_SIDE))
    return f"{int(bits, 2):016x}"
