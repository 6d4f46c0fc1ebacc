"""What each training picture is said to show."""

import random
import re

from training.engines.aitoolkit.prompts import plain_text
from training.params import CaptionStrategy


def caption_for(own: str | None, *, strategy: CaptionStrategy, trigger: str, seed: str) -> str:
    """Return the caption of one picture. `seed` decides the order of its tags: the same seed, the same order."""
    text = " ".join(plain_text(own or "", trigger).split())
    if strategy == "trigger_only" or not text:
        return f"a photo of {trigger}"
    if strategy == "natural":
        return text if _mentions(text, trigger) else f"{trigger}, {text}"
    return ", ".join([trigger, *_shuffled_tags(text, trigger, seed)])


def lacks_caption(own: str | None, strategy: CaptionStrategy) -> bool:
    return strategy != "trigger_only" and not (own or "").strip()


def _mentions(text: str, trigger: str) -> bool:
    # ai-toolkit itself looks for the bare letters, and would find the trigger word "ann" in "planning".
    return re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", text) is not None


def _shuffled_tags(text: str, trigger: str, seed: str) -> list[str]:
    tags = [tag.strip() for tag in text.split(",")]
    unique = list(dict.fromkeys(tag for tag in tags if tag and tag != trigger))
    random.Random(seed).shuffle(unique)  # noqa: S311 — the order of words needs no secrecy, but must repeat.
    return unique
