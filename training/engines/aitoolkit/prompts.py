"""Text that ai-toolkit would read as syntax, made plain."""

import re

from training.params import TrainingParams

_DEFAULT_PROMPTS = (
    "a photo of {trigger}",
    "a portrait of {trigger}, soft window light",
    "{trigger} walking down a city street, full body",
    "a close-up of {trigger}, studio lighting, plain background",
    "{trigger} sitting in a cafe, smiling",
)
_BRACKETS = str.maketrans("[]", "()")


def plain_trigger(trigger_word: str) -> str:
    return trigger_word.translate(_BRACKETS)


def plain_text(text: str, trigger: str) -> str:
    """Put the trigger word where `[trigger]` stands, and take the meaning from all other brackets.

    ai-toolkit replaces `[name]` and `[trigger]` wherever it finds them, in the job file and in captions.
    """
    return text.replace("[trigger]", trigger).translate(_BRACKETS)


def plain_prompt(text: str, trigger: str) -> str:
    """Like `plain_text`; a prompt's `--` would also end it and begin a flag such as `--w 80`."""
    return re.sub(r"-{2,}", "—", plain_text(text, trigger))


def sample_prompts(params: TrainingParams, trigger: str) -> list[str]:
    """Return `sample_count` prompts. The asked ones are used in turn: each picture of a round has a seed of its own."""
    asked = requested_prompts(params)
    if not asked:
        return [plain_prompt(text.format(trigger=trigger), trigger) for text in _DEFAULT_PROMPTS[: params.sample_count]]
    return [plain_prompt(asked[index % len(asked)], trigger) for index in range(params.sample_count)]


def requested_prompts(params: TrainingParams) -> list[str]:
    if isinstance(params.sample_prompts, str):
        return [params.sample_prompts]
    return list(params.sample_prompts or ())
