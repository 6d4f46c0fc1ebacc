"""Draws people who never lived: a bust before a background, the same face every time in another scene."""

import math
import random
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

Size = tuple[int, int]
Point = tuple[float, float]
Hair = Literal["bob", "long", "short", "bun", "curls", "bald"]

# Drawn so much larger and made smaller afterwards, which is what smooths the edges; large ones less, for the time.
MAX_OVERSAMPLING = 2.0
ENOUGH_PIXELS = 840
# In halves of the head's width: how far hair goes at most, to a side and up or down.
HAIR_REACH = (1.7, 2.3)
INK = (42, 34, 40)
SHADOW = (20, 26, 40)
MAX_LIGHTS = 6
WHITE = (250, 249, 246)


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What makes somebody known again. Colours are hexadecimal."""

    skin: str
    hair: str
    style: Hair
    eyes: str = "#4a3b32"
    has_glasses: bool = False
    has_beard: bool = False
    has_freckles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything else about a picture. `smile` from 0 to 1; `tilt` in degrees; `zoom` 1 fills the picture well."""

    top: str
    bottom: str
    clothes: str
    smile: float = 0.6
    tilt: float = 0.0
    zoom: float = 1.0
    shift: float = 0.0
    """To the side, as part of the head's width."""
    light_from: int = 0
    """The side on which the background is light: 0 above, 1 left, 2 below, 3 right."""
    lights: tuple[tuple[float, float, float], ...] = ()
    """Out of focus behind: across, down and radius, as parts of the picture's sides."""


SKIES = (
    ("#f6d7c3", "#c98f7a"),
    ("#cfe3ef", "#7fa3b8"),
    ("#d9e6cf", "#8fae86"),
    ("#f3e3b3", "#d3a75c"),
    ("#dcd3ea", "#8f83b5"),
    ("#bfe0da", "#4f928c"),
    ("#40506b", "#1f2a3d"),
    ("#f0c9cf", "#b5707f"),
)
CLOTHES = ("#2f4858", "#7d3c4a", "#d8a24a", "#3f6f5b", "#54507a", "#e4ddd0", "#a4553a", "#20242b")


def scene_of(dice: random.Random) -> Scene:
    top, bottom = dice.choice(SKIES)
    return Scene(
        top=top,
        bottom=bottom,
        clothes=dice.choice(CLOTHES),
        smile=dice.uniform(0.15, 1.0),
        tilt=dice.uniform(-9, 9),
        zoom=dice.uniform(0.72, 1.3),
        shift=dice.uniform(-0.6, 0.6),
        light_from=dice.randrange(4),
        lights=tuple(
            (dice.random(), dice.uniform(0, 0.7), dice.uniform(0.05, 0.2)) for _ in range(dice.randint(2, MAX_LIGHTS))
        ),
    )


def draw(face: Face, scene: Scene, size: Size) -> Image.Image:
    scale = max(1.0, min(MAX_OVERSAMPLING, ENOUGH_PIXELS / max(size)))
    picture = _background(scene, (round(size[0] * scale), round(size[1] * scale)))
    # Where there is enough to make smaller, that alone smooths the turned head.
    is_large = scale < MAX_OVERSAMPLING
    _Bust(face, scene, picture, Image.Resampling.BILINEAR if is_large else Image.Resampling.NEAREST).draw()
    return picture.resize(size, Image.Resampling.BILINEAR)


def half_learned(picture: Image.Image, likeness: float, dice: random.Random) -> Image.Image:
    """Return the picture as a model paints it that knows the face only so far, from 0 to 1."""
    vague = picture.filter(ImageFilter.GaussianBlur(picture.width * 0.05 * (1 - likeness)))
    noise = Image.effect_noise((picture.width // 4, picture.height // 4), 60).resize(picture.size)
    tint = Image.new("RGB", picture.size, dice.choice(SKIES)[1])
    foggy = Image.blend(vague, Image.blend(tint, noise.convert("RGB"), 0.3), 0.55 * (1 - likeness))
    return ImageEnhance.Color(foggy).enhance(0.4 + 0.6 * likeness)


def _background(scene: Scene, size: Size) -> Image.Image:
    shade = Image.linear_gradient("L").rotate(90 * scene.light_from).resize(size)
    picture = Image.composite(Image.new("RGB", size, scene.bottom), Image.new("RGB", size, scene.top), shade)
    pen = ImageDraw.Draw(picture, "RGBA")
    for number, (across, down, radius) in enumerate(scene.lights):
        x, y, reach = across * size[0], down * size[1], radius * min(size)
        # Some darker than what is around them, or they would all be of one night.
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(*(SHADOW if number % 3 == 2 else WHITE), 60))
    return picture


class _Bust:
    """Head and shoulders, in units of the head's half width around its middle."""

    def __init__(self, face: Face, scene: Scene, picture: Image.Image, smoothing: Image.Resampling) -> None:
        self._face, self._scene, self._picture, self._smoothing = face, scene, picture, smoothing
        self._unit = min(picture.width, picture.height) * 0.2 * scene.zoom
        self._middle = (picture.width / 2 + scene.shift * self._unit, picture.height * 0.46)
        self._pen = ImageDraw.Draw(picture)

    def draw(self) -> None:
        self._shoulders()
        self._neck()
        (x, y), (aside, up) = self._middle, (round(reach * self._unit) for reach in HAIR_REACH)
        head = Image.new("RGBA", (2 * aside, 2 * up))
        self._pen, self._middle = ImageDraw.Draw(head), (aside, up)
        self._head()
        turned = head.rotate(self._scene.tilt, self._smoothing, center=self._at(0, 1))
        self._picture.paste(turned, (round(x) - aside, round(y) - up), mask=turned)

    def _head(self) -> None:
        self._hair_behind()
        if self._face.style == "long":
            self._neck()
        self._oval(0, 0.1, 1, 1.25, self._face.skin)
        self._ears()
        if self._face.has_beard:
            self._beard()
        self._features()
        self._hair_before()

    def _at(self, x: float, y: float) -> Point:
        return self._middle[0] + x * self._unit, self._middle[1] + y * self._unit

    def _box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Return the corners of what reaches so far to each side of its middle."""
        return (*self._at(x - width, y - height), *self._at(x + width, y + height))

    def _oval(self, x: float, y: float, width: float, height: float, fill: object) -> None:
        self._pen.ellipse(self._box(x, y, width, height), fill=fill)  # type: ignore[arg-type]

    def _shoulders(self) -> None:
        top = self._at(0, 1.75)[1]
        left, right = self._at(-2.1, 0)[0], self._at(2.1, 0)[0]
        box = (left, top, right, self._picture.height + self._unit * 3)
        self._pen.rounded_rectangle(box, radius=self._unit * 1.2, fill=self._scene.clothes)

    def _neck(self) -> None:
        self._oval(0, 1.85, 0.62, 0.42, _darker(self._face.skin, 0.88))
        neck = (*self._at(-0.42, 0.9), *self._at(0.42, 1.85))
        self._pen.rectangle(neck, fill=_darker(self._face.skin, 0.88))

    def _ears(self) -> None:
        if self._face.style not in ("long", "bob"):
            for side in (-1, 1):
                self._oval(side * 1.0, 0.2, 0.16, 0.26, _darker(self._face.skin, 0.94))

    def _features(self) -> None:
        for side in (-1, 1):
            self._eye(side * 0.42)
        shade = _darker(self._face.skin, 0.82)
        self._pen.line(
            [self._at(0.02, 0.15), self._at(0.12, 0.5), self._at(-0.06, 0.52)], fill=shade, width=self._pixels(0.06)
        )
        smile = self._scene.smile
        self._pen.arc(
            self._box(0, 0.72 - 0.05 * smile, 0.4, 0.1 + 0.22 * smile),
            20,
            160,
            fill="#9c4a4a",
            width=self._pixels(0.09),
        )
        for side in (-1, 1):
            self._oval(side * 0.66, 0.52, 0.16, 0.11, blended(self._face.skin, "#e0735f", 0.3))
        if self._face.has_freckles:
            self._freckles()
        if self._face.has_glasses:
            self._glasses()

    def _eye(self, x: float) -> None:
        self._oval(x, 0.12, 0.19, 0.13, WHITE)
        self._oval(x, 0.12, 0.11, 0.12, self._face.eyes)
        self._oval(x, 0.12, 0.055, 0.06, INK)
        self._oval(x + 0.04, 0.08, 0.03, 0.03, WHITE)
        brow = _darker(self._face.hair, 0.8) if self._face.style != "bald" else INK
        self._pen.arc(self._box(x, -0.08, 0.25, 0.16), 205, 335, fill=brow, width=self._pixels(0.08))

    def _freckles(self) -> None:
        for n in range(10):
            x, y = (-0.62 + 0.14 * n), 0.4 + 0.08 * ((n * 7) % 3)
            self._oval(x, y, 0.025, 0.025, _darker(self._face.skin, 0.75))

    def _glasses(self) -> None:
        for side in (-1, 1):
            self._pen.ellipse(self._box(side * 0.42, 0.13, 0.31, 0.28), outline=INK, width=self._pixels(0.05))
        self._pen.line([self._at(-0.11, 0.08), self._at(0.11, 0.08)], fill=INK, width=self._pixels(0.05))

    def _beard(self) -> None:
        self._pen.chord(self._box(0, 0.36, 0.97, 1.02), 5, 175, fill=self._face.hair)
        self._oval(0, 0.72, 0.46, 0.2, blended(self._face.skin, self._face.hair, 0.25))

    def _hair_behind(self) -> None:
        hair = _darker(self._face.hair, 0.85)
        if self._face.style == "long":
            self._pen.rounded_rectangle((*self._at(-1.25, -0.9), *self._at(1.25, 2.2)), radius=self._unit, fill=hair)
        elif self._face.style == "bob":
            self._pen.rounded_rectangle(
                (*self._at(-1.3, -0.95), *self._at(1.3, 1.15)), radius=self._unit * 0.7, fill=hair
            )
        elif self._face.style == "bun":
            self._oval(0, -1.4, 0.5, 0.45, self._face.hair)
        elif self._face.style == "curls":
            for n in range(12):
                self._oval(*_around(n, 12, 1.15), 0.42, 0.42, hair)

    def _hair_before(self) -> None:
        hair = self._face.hair
        if self._face.style == "bald":
            return
        self._pen.chord(self._box(0, -0.12, 1.06, 1.12), 190, 350, fill=hair)
        self._pen.pieslice(self._box(-0.2, -0.5, 0.86, 0.66), 150, 350, fill=hair)
        if self._face.style == "curls":
            for n in range(7):
                self._oval(-0.9 + 0.3 * n, -0.8 - 0.22 * (3 - abs(n - 3)) / 3, 0.3, 0.3, hair)

    def _pixels(self, part: float) -> int:
        return max(1, round(part * self._unit))


def _around(n: int, count: int, radius: float) -> Point:
    """Return a place on the upper three quarters of a circle around the head."""
    angle = math.tau * (0.75 * n / (count - 1) - 0.375)
    return radius * math.sin(angle), -0.05 - radius * math.cos(angle)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def blended(colour: str, other: str, part: float) -> str:
    mixed = (round(a + (b - a) * part) for a, b in zip(_rgb(colour), _rgb(other), strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _darker(colour: str, part: float) -> str:
    return blended("#000000", colour, part)
