"""Draws places that are nowhere: hills behind hills, in one light."""

import math
import random

from PIL import Image, ImageDraw

from isengard.demo.portraits import SKIES, Size, blended

RIDGES = 4
EDGE_PIXELS = 4


def draw_scenery(dice: random.Random, size: Size) -> Image.Image:
    width, height = size
    light, shade = dice.choice(SKIES)
    fall = Image.linear_gradient("L").resize(size)
    picture = Image.composite(Image.new("RGB", size, light), Image.new("RGB", size, shade), fall)
    pen = ImageDraw.Draw(picture)
    x, y, radius = width * dice.uniform(0.2, 0.8), height * dice.uniform(0.15, 0.35), min(size) * 0.07
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=blended(light, "#ffffff", 0.6))
    for ridge in range(RIDGES):
        nearness = (ridge + 1) / RIDGES
        colour = blended(shade, "#18202c", 0.2 + 0.65 * nearness)
        pen.polygon(_ridge(dice, size, height * (0.35 + 0.5 * nearness)), fill=colour)
    return picture


def _ridge(dice: random.Random, size: Size, level: float) -> list[tuple[float, float]]:
    width, height = size
    waves = [(dice.uniform(1, 9), dice.uniform(0, math.tau), height * dice.uniform(0.01, 0.06)) for _ in range(4)]
    edge = [
        (x, level - sum(tall * math.sin(turns * math.tau * x / width / 2 + begin) for turns, begin, tall in waves))
        for x in range(0, width + EDGE_PIXELS, EDGE_PIXELS)
    ]
    return [*edge, (width + EDGE_PIXELS, height), (0, height)]
