"""The prompts of a job's images, with the choices in them made by each image's own seed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from django.conf import settings
from pydantic import ValidationError
from rest_framework import exceptions

from generation.engines.order import ImagePrompts
from generation.params import GenerationParams
from generation.prompts import PromptRefused, WildcardFolder, write_out

WILDCARDS_FOLDER = "wildcards"
"""Below the data directory."""

PromptField = Literal["prompt", "negative_prompt"]
KeptPrompts = Mapping[PromptField, str]
PROMPT_FIELDS: tuple[PromptField, ...] = ("prompt", "negative_prompt")


def write_prompts(
    params: GenerationParams, count: int, *, kept: Sequence[KeptPrompts] = ()
) -> tuple[ImagePrompts, ...]:
    """Return each image's prompts, none where they have no choices. What is `kept` of an image is not chosen again.

    Raises ValidationError. The seed must be settled.
    """
    if not params.dynamic_prompts:
        return ()
    writing = _Writing(params)
    return tuple(writing.of_image(index, kept[index] if index < len(kept) else {}) for index in range(count))


class _Writing:
    def __init__(self, params: GenerationParams) -> None:
        self._params = params
        self._wildcards = WildcardFolder(Path(settings.DATA_DIR, WILDCARDS_FOLDER))

    def of_image(self, index: int, kept: KeptPrompts) -> ImagePrompts:
        return ImagePrompts(
            prompt=self._of_field("prompt", index, kept), negative_prompt=self._of_field("negative_prompt", index, kept)
        )

    def _of_field(self, field: PromptField, index: int, kept: KeptPrompts) -> str:
        return kept[field] if field in kept else self._written(field, index)

    def _written(self, field: PromptField, index: int) -> str:
        # By the image's own seed, so that it can be made again alone, and by the field: neither follows the other.
        key = f"{field} {(self._params.seed or 0) + index}"
        try:
            text = write_out(getattr(self._params, field), self._wildcards, key=key)
        except PromptRefused as exc:
            raise exceptions.ValidationError({f"config.{field}": str(exc)}) from exc
        self._refuse_unusable(field, text, index)
        return text

    def _refuse_unusable(self, field: PromptField, text: str, index: int) -> None:
        """What is chosen must be what could have been sent as it is."""
        try:
            GenerationParams.model_validate({"prompt": "any", field: text})
        except ValidationError as exc:
            reason = exc.errors()[0]["msg"].removeprefix("Value error, ")
            said = f"for image {index}, as its choices came out: {reason[:1].lower()}{reason[1:]}."
            raise exceptions.ValidationError({f"config.{field}": said}) from exc
