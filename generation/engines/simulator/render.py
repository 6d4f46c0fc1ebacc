"""Paints the picture that a recipe stands for: the same recipe gives the same pixels, any other gives other ones."""

import colorsys
import hashlib
import io
import math
import random

from PIL import Image, ImageDraw, ImageFilter

from generation.engines.simulator.caption import draw_caption
from generation.engines.simulator.values import Recipe

FIELD_SIDE = 96  # Everything is painted this small and then enlarged: that is what makes it fast and soft.
COLOUR_GRID = 5
BLOB_COUNT = 7
PREVIEW_SIDE = 512
FACE_PART = 0.4


def paint(recipe: Recipe, index: int, source: Image.Image | None = None) -> Image.Image:
    """Paint picture `index` of the batch, over `source` where the recipe keeps part of one."""
    picture = _field(recipe.digest(index)).resize((recipe.width, recipe.height), Image.Resampling.BICUBIC)
    if source is not None and recipe.sigmas.denoise < 1:
        fitted = source.convert("RGB").resize(picture.size, Image.Resampling.BICUBIC)
        picture = Image.blend(fitted, picture, recipe.sigmas.denoise)
    draw_caption(picture, recipe, index)
    return picture


def repaint_face(picture: Image.Image, recipe: Recipe) -> Image.Image:
    """Paint a round part in the upper middle anew, where a portrait has its face."""
    side = max(1, round(FACE_PART * min(picture.size)))
    left, top = (picture.width - side) // 2, (picture.height - side) // 3
    box = (left, top, left + side, top + side)
    fresh = _field(recipe.digest(0)).resize((side, side), Image.Resampling.BICUBIC)
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=round(255 * recipe.sigmas.denoise))
    repainted = picture.copy()
    repainted.paste(fresh, box, mask)
    return repainted


def paint_preview(recipe: Recipe, finished_fraction: float) -> bytes:
    """Return a JPEG of the picture on its way out of the noise, longest side 512 pixels."""
    digest = recipe.digest(0)
    noise = Image.frombytes("RGB", (FIELD_SIDE, FIELD_SIDE), _bytes(digest, 3 * FIELD_SIDE**2))
    scale = PREVIEW_SIDE / max(recipe.width, recipe.height)
    size = (max(1, round(recipe.width * scale)), max(1, round(recipe.height * scale)))
    picture = Image.blend(noise, _field(digest), finished_fraction).resize(size, Image.Resampling.BILINEAR)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def _bytes(digest: bytes, count: int) -> bytes:
    return hashlib.shake_256(digest).digest(count)


def _field(digest: bytes) -> Image.Image:
    dice = random.Random(digest)
    hue = dice.random()
    colours = b"".join(_colour(dice, hue) for _ in range(COLOUR_GRID**2))
    grid = Image.frombytes("RGB", (COLOUR_GRID, COLOUR_GRID), colours)
    field = grid.resize((FIELD_SIDE, FIELD_SIDE), Image.Resampling.BICUBIC)
    for _ in range(BLOB_COUNT):
        _add_blob(field, dice, hue)
    return field.filter(ImageFilter.GaussianBlur(2))


def _colour(dice: random.Random, hue: float) -> bytes:
    """Return a colour near `hue`, so that one picture keeps to one family of colours."""
    red, green, blue = colorsys.hsv_to_rgb(
        (hue + dice.gauss(0, 0.09)) % 1, dice.uniform(0.35, 0.9), dice.uniform(0.45, 0.98)
    )
    return bytes((round(255 * red), round(255 * green), round(255 * blue)))


def _add_blob(field: Image.Image, dice: random.Random, hue: float) -> None:
    radius = FIELD_SIDE * dice.uniform(0.05, 0.22)
    angle, distance = dice.uniform(0, math.tau), FIELD_SIDE * 0.5 * math.sqrt(dice.random())
    x, y = FIELD_SIDE / 2 + distance * math.cos(angle), FIELD_SIDE / 2 + distance * math.sin(angle)
    red, green, blue = _colour(dice, (hue + 0.45) % 1 if dice.random() < 0.3 else hue)
    ImageDraw.Draw(field, "RGBA").ellipse(
        (x - radius, y - radius, x + radius, y + radius), fill=(red, green, blue, dice.randint(70, 170))
    )
