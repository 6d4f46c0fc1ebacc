"""A sample's prompt and settings, with the `--flags` that the real program reads out of the prompt."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .config import SampleConfig

SIZE_STEP = 8
SMALLEST_SIDE = 64

# Flag → the setting it changes and how its text is read. A text that cannot be read ends the job.
_FLAGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "n": ("negative_prompt", str),
    "w": ("width", int),
    "h": ("height", int),
    "d": ("seed", int),
    "l": ("guidance_scale", float),
    "s": ("sample_steps", int),
    "m": ("network_multiplier", float),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    prompt: str
    negative_prompt: str
    width: int
    height: int
    seed: int
    guidance_scale: float
    sample_steps: int
    network_multiplier: float


def plan_pictures(config: SampleConfig, trigger_word: str | None) -> list[Picture]:
    """Raise ValueError where a flag needs a number and has none."""
    return [_plan(config, given, i, trigger_word or "") for i, given in enumerate(config.pictures)]


def _plan(config: SampleConfig, given: dict[str, Any], index: int, trigger_word: str) -> Picture:
    prompt = given["prompt"].replace("[trigger]", trigger_word).replace("[name]", trigger_word)
    seed = given.get("seed", config.seed + (index if config.walks_seed else 0))
    picture = Picture(
        prompt=prompt,
        negative_prompt=given.get("neg") or "",
        width=given.get("width", config.width),
        height=given.get("height", config.height),
        seed=seed,
        guidance_scale=given.get("guidance_scale", config.guidance_scale),
        sample_steps=given.get("sample_steps", config.sample_steps),
        network_multiplier=given.get("network_multiplier", 1.0),
    )
    return _with_floored_sides(_with_flags(picture))


def _with_flags(picture: Picture) -> Picture:
    prompt, *flags = picture.prompt.split("--")
    changes: dict[str, Any] = {"prompt": prompt.strip()}
    for flag in flags:
        name, _, text = flag.strip().partition(" ")
        if name in _FLAGS:
            setting, read = _FLAGS[name]
            changes[setting] = read(text.strip())
    return replace(picture, **changes)


def _with_floored_sides(picture: Picture) -> Picture:
    width, height = (max(SMALLEST_SIDE, side // SIZE_STEP * SIZE_STEP) for side in (picture.width, picture.height))
    return replace(picture, width=width, height=height)
