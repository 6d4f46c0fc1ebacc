"""What a person may ask of an image. Validation, /info, OpenAPI, the admin and the ComfyUI graph read it from here."""

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

ModelVariant = Literal["flux-schnell", "flux-dev"]

COUNT_RANGE = (1, 8)
"""The fewest and the most images of one job."""

# Browsers hold numbers as doubles, which are exact up to here.
MAX_SEED = 2**53 - 1
SIDE_MULTIPLE_PIXELS = 8

NOT_IMPLEMENTED = "Not implemented yet in Isengard."
TOGGLES: Mapping[str, str] = MappingProxyType(
    {
        "use_controlnet": "ControlNet",
        "use_ipadapter": "IP-Adapter",
        "use_facedetailer": "Face detailer",
        "use_upscale": "Upscaling",
    }
)
"""The switches of a generation, and how to call them in a sentence."""

# Every FLUX workflow that was tried against ComfyUI samples at CFG 1, where the negative conditioning has no weight. A
# CFGGuider above 1 would double the time of every step for a model that was distilled to need no CFG, and it was never
# tried, so a negative prompt is kept with the job and honestly declared to have no effect.
NEGATIVE_PROMPT_REASON = "FLUX is guidance-distilled: it samples without CFG, so a negative prompt has no effect."


def _without_control_characters(text: str) -> str:
    for character in text:
        if unicodedata.category(character) == "Cc" and character not in "\n\t":
            raise ValueError(f"must not contain the control character U+{ord(character):04X}")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _to_accepted_side(pixels: int) -> int:
    return (pixels + SIDE_MULTIPLE_PIXELS // 2) // SIDE_MULTIPLE_PIXELS * SIDE_MULTIPLE_PIXELS


def _toggle(description: str) -> bool:
    field: bool = Field(
        default=False, description=description, json_schema_extra={"wired": False, "reason": NOT_IMPLEMENTED}
    )
    return field


# The same as the validators, for who reads the schema.
_PRINTED = r"[^\u0000-\u0008\u000B-\u001F\u007F-\u009F]*"
_VISIBLE = r"[^\s\u0000-\u001F\u007F-\u009F]"
Text = Annotated[
    str, AfterValidator(_without_control_characters), Field(json_schema_extra={"pattern": f"^{_PRINTED}$"})
]
VisibleText = Annotated[
    str,
    AfterValidator(_without_control_characters),
    AfterValidator(_not_blank),
    Field(json_schema_extra={"pattern": f"^{_PRINTED}{_VISIBLE}{_PRINTED}$"}),
]
SidePixels = Annotated[int, Field(ge=512, le=2048), AfterValidator(_to_accepted_side)]


class GenerationParams(BaseModel):
    """One request for images. Both sides are rounded to the nearest multiple of 8 pixels; image k uses `seed` + k."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    prompt: VisibleText = Field(
        min_length=1, max_length=2000, description="What the image shows.", json_schema_extra={"wired": True}
    )
    negative_prompt: Text = Field(
        default="",
        max_length=1000,
        description="What the image should not show.",
        json_schema_extra={"wired": False, "reason": NEGATIVE_PROMPT_REASON},
    )
    width: SidePixels = Field(
        default=1024,
        description="Width in pixels, rounded to the nearest multiple of 8.",
        json_schema_extra={"wired": True},
    )
    height: SidePixels = Field(
        default=1024,
        description="Height in pixels, rounded to the nearest multiple of 8.",
        json_schema_extra={"wired": True},
    )
    steps: int = Field(
        default=20,
        ge=1,
        le=100,
        description="Sampling steps. FLUX schnell needs about 4.",
        json_schema_extra={"wired": True},
    )
    guidance_scale: float = Field(
        default=3.5,
        ge=1,
        le=20,
        description="How closely the image follows the prompt. FLUX dev only: FLUX schnell has no guidance.",
        json_schema_extra={"wired": True},
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        le=MAX_SEED,
        description="Start of the random noise; null picks one. Image k of a job uses seed + k.",
        json_schema_extra={"wired": True},
    )
    lora_id: Text | None = Field(
        default=None,
        max_length=200,
        description="A character's id (its newest LoRA), uploaded:<lora id>, or a LoRA's id.",
        json_schema_extra={"wired": True},
    )
    lora_strength: float = Field(
        default=1.0,
        ge=0,
        le=2,
        description="How strongly the LoRA acts; 0 is the same as none.",
        json_schema_extra={"wired": True},
    )
    use_controlnet: bool = _toggle("Guide the composition with a control image.")
    use_ipadapter: bool = _toggle("Guide the style with a reference image.")
    use_facedetailer: bool = _toggle("Paint faces again in more detail.")
    use_upscale: bool = _toggle("Enlarge the finished image.")
    model_variant: ModelVariant = Field(
        default="flux-dev", description="Which FLUX model paints.", json_schema_extra={"wired": True}
    )
