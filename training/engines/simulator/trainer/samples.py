"""Sample pictures: plain ones that tell step, place among the prompts, seed and prompt."""

import hashlib
import time
from pathlib import Path

from PIL import Image, ImageDraw

from .prompts import Picture

THUMBNAIL_SIDE = 300
LINE_HEIGHT = 12
LINE_CHARACTERS = 36


def save_sample(folder: Path, picture: Picture, *, step: int, index: int, suffix: str) -> Path:
    """Write the picture beside its place and move it there whole; then its thumbnail. Return the picture's path."""
    name = f"{time.time_ns() // 1_000_000}__{step:09d}_{index}.{suffix}"
    image = draw_sample(picture, step=step, index=index)
    unfinished = folder / ".tmp" / name
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    image.save(unfinished)
    finished = folder / name
    unfinished.replace(finished)
    _save_thumbnail(image, folder / ".thumbs" / f"{name}.jpg")
    return finished


def draw_sample(picture: Picture, *, step: int, index: int) -> Image.Image:
    red, green, blue = hashlib.sha256(f"{picture.prompt}:{picture.seed}:{step}".encode()).digest()[:3]
    image = Image.new("RGB", (picture.width, picture.height), (red, green, blue))
    ink = "black" if red + green + blue > 3 * 127 else "white"
    lines = [f"step {step}  prompt {index}", f"seed {picture.seed}", *_wrapped(picture.prompt)]
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((4, 4 + row * LINE_HEIGHT), line, fill=ink)
    return image


def _wrapped(text: str) -> list[str]:
    return [text[i : i + LINE_CHARACTERS] for i in range(0, len(text), LINE_CHARACTERS)]


def _save_thumbnail(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE)).save(path)
