"""Writes on a picture what it was made from."""

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from generation.engines.simulator.values import Recipe

PANEL_COLOUR = (12, 14, 22, 165)
TEXT_COLOUR = (245, 246, 250)
FAINT_TEXT_COLOUR = (196, 202, 216)
PROMPT_LINES_MAX = 6
PROMPT_CHARACTERS_MAX = 600
FONT_PIXELS_MIN = 9


def draw_caption(picture: Image.Image, recipe: Recipe, index: int) -> None:
    font = _font(max(FONT_PIXELS_MIN, min(picture.size) // 36))
    margin = round(font.size)
    prompt = _wrap(recipe.positive.text, font, picture.width - 4 * margin)
    lines = [(line, TEXT_COLOUR) for line in prompt]
    lines += [(_cut(line, font, picture.width - 4 * margin), FAINT_TEXT_COLOUR) for line in _facts(recipe, index)]
    line_height = round(font.size * 1.35)
    top = picture.height - line_height * len(lines) - 2 * margin
    draw = ImageDraw.Draw(picture, "RGBA")
    panel = (margin, top, picture.width - margin, picture.height - margin)
    if panel[0] < panel[2] and panel[1] < panel[3]:
        draw.rounded_rectangle(panel, radius=margin // 2, fill=PANEL_COLOUR)
    for row, (line, colour) in enumerate(lines):
        draw.text((2 * margin, top + margin // 2 + row * line_height), line, font=font, fill=colour)


def _facts(recipe: Recipe, index: int) -> list[str]:
    position = f" #{index + 1}" if index else ""
    facts = [
        f"seed {recipe.seed}{position} · {recipe.width}x{recipe.height} · {recipe.sigmas.steps} steps",
        recipe.model.file_name,
    ]
    if recipe.negative is not None and recipe.negative.text:
        facts.insert(0, f"without: {recipe.negative.text}")
    return [*facts, *(f"{lora.name}, strength {lora.strength:g}" for lora in recipe.model.loras)]


@lru_cache(maxsize=8)
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=pixels)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType, so captions cannot be written.")
    return font


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text[:PROMPT_CHARACTERS_MAX].split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    shown = [_cut(line, font, width) for line in lines[:PROMPT_LINES_MAX]]
    if len(lines) > PROMPT_LINES_MAX or len(text) > PROMPT_CHARACTERS_MAX:
        shown[-1] = _cut(shown[-1] + " …", font, width)
    return shown


def _cut(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Shorten `line` to `width` pixels. Long lines are halved, so that this takes few measurements."""
    line = " ".join(line.split())
    while len(line) > 1 and font.getlength(line) > width:
        line = line[: max(1, int(len(line) * width / font.getlength(line)) - 1)].rstrip() + "…"
        if len(line) <= 2:
            break
    return line
