"""What a person may ask of an image. Validation, /info, OpenAPI, the admin and the ComfyUI graph read it from here."""

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from base_models import MODELS, Generating, Model

CONTRACT_VARIANTS = ("flux-schnell", "flux-dev")
"""The models that clients count on, in the order of the contract."""
DEFAULT_VARIANT = "flux-dev"
VARIANTS: Mapping[str, Model] = MappingProxyType({name: model for name, model in MODELS.items() if model.generating})

COUNT_RANGE = (1, 8)
"""The fewest and the most images of one job."""

# Browsers hold numbers as doubles, which are exact up to here.
MAX_SEED = 2**53 - 1
SIDE_MULTIPLE_PIXELS = 8
MAX_OUTPUT_SIDE_PIXELS = 4096
"""The longest side of an enlarged image."""
MAX_LORAS = 8
IMAGE_NAME_MAX_LENGTH = 200

Toggle = Literal["use_controlnet", "use_ipadapter", "use_facedetailer", "use_upscale"]
ImageField = Literal["init_image", "control_image", "reference_image"]
ControlType = Literal["canny", "depth", "pose"]

TOGGLES: Mapping[Toggle, str] = MappingProxyType(
    {
        "use_controlnet": "ControlNet",
        "use_ipadapter": "IP-Adapter",
        "use_facedetailer": "Face detailer",
        "use_upscale": "Upscaling",
    }
)
"""The switches of a generation, and how to call them in a sentence."""
IMAGE_FIELDS: tuple[ImageField, ...] = ("init_image", "control_image", "reference_image")
IMAGE_OF_TOGGLE: Mapping[Toggle, ImageField] = MappingProxyType(
    {"use_controlnet": "control_image", "use_ipadapter": "reference_image"}
)
"""The switches that need an image, and the parameter that names it."""


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
    return to_multiple(pixels, SIDE_MULTIPLE_PIXELS)


def to_multiple(pixels: int, multiple: int) -> int:
    """Return the multiple that is nearest, the larger one of two."""
    return (pixels + multiple // 2) // multiple * multiple


def _known_variant(name: str) -> str:
    if name not in VARIANTS:
        raise ValueError(f"must be one of {', '.join(VARIANTS)}")
    return name


def _toggle(description: str) -> bool:
    field: bool = Field(default=False, description=description, json_schema_extra={"wired": True})
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
ModelVariant = Annotated[str, AfterValidator(_known_variant), Field(json_schema_extra={"enum": list(VARIANTS)})]


class LoraChoice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    lora_id: Text = Field(
        min_length=1,
        max_length=200,
        description="A character's id (its current LoRA: the newest, unless another was promoted), uploaded:<lora id>, "
        "or a LoRA's id.",
    )
    strength: float = Field(default=1.0, ge=0, le=2, description="How strongly the LoRA acts; 0 is the same as none.")


class GenerationParams(BaseModel):
    """One request for images. Both sides are rounded to the nearest multiple of 8 pixels; image k uses `seed` + k.

    `steps` and `guidance_scale` that are not given are those of the model; the declared ones are FLUX.1 dev's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    prompt: VisibleText = Field(
        min_length=1, max_length=2000, description="What the image shows.", json_schema_extra={"wired": True}
    )
    dynamic_prompts: bool = Field(
        default=False,
        description="Read {red|blue} and __wildcard__ in both prompts as choices, made for each image by its seed.",
        json_schema_extra={"wired": True},
    )
    negative_prompt: Text = Field(
        default="",
        max_length=1000,
        description="What the image should not show. A model without CFG (FLUX) is then sampled with it, at twice the "
        "time for each step.",
        json_schema_extra={"wired": True},
    )
    width: SidePixels = Field(
        default=1024,
        description="Width in pixels, rounded to the nearest multiple of 8, or of 16 where the model needs that.",
        json_schema_extra={"wired": True},
    )
    height: SidePixels = Field(
        default=1024,
        description="Height in pixels, rounded to the nearest multiple of 8, or of 16 where the model needs that.",
        json_schema_extra={"wired": True},
    )
    steps: int = Field(
        default=20,
        ge=1,
        le=100,
        description="Sampling steps. Omitted: what the model is made for, 20 for FLUX dev, 4 for FLUX schnell.",
        json_schema_extra={"wired": True},
    )
    guidance_scale: float = Field(
        default=3.5,
        ge=1,
        le=20,
        description="How closely the image follows the prompt. Omitted: the model's own. Models that were distilled to "
        "need none (FLUX schnell) take no guidance.",
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
        description="A character's id (its current LoRA: the newest, unless another was promoted), uploaded:<lora id>, "
        "or a LoRA's id.",
        json_schema_extra={"wired": True},
    )
    lora_strength: float = Field(
        default=1.0,
        ge=0,
        le=2,
        description="How strongly the LoRA acts; 0 is the same as none.",
        json_schema_extra={"wired": True},
    )
    loras: list[LoraChoice] = Field(
        default=[],
        max_length=MAX_LORAS,
        description="More LoRAs, applied behind lora_id in this order; 8 in all.",
        json_schema_extra={"wired": True},
    )
    init_image: Text | None = Field(
        default=None,
        max_length=IMAGE_NAME_MAX_LENGTH,
        description="Start from this picture: the name of an uploaded image or of an output. Cropped to the size.",
        json_schema_extra={"wired": True},
    )
    denoise: float = Field(
        default=0.6,
        ge=0.05,
        le=1,
        description="How much of init_image is painted anew; 1 keeps nothing of it.",
        json_schema_extra={"wired": True},
    )
    use_controlnet: bool = _toggle("Guide the composition with control_image.")
    control_image: Text | None = Field(
        default=None,
        max_length=IMAGE_NAME_MAX_LENGTH,
        description="What guides the composition: the name of an uploaded image or of an output.",
        json_schema_extra={"wired": True},
    )
    control_type: ControlType = Field(
        default="canny",
        description="What of the control image counts: its edges, its depth, or the pose of the people in it.",
        json_schema_extra={"wired": True},
    )
    control_preprocess: bool = Field(
        default=True,
        description="Find the edges, depth or pose in control_image; false: it is such a map already.",
        json_schema_extra={"wired": True},
    )
    control_strength: float = Field(
        default=0.7, ge=0, le=2, description="How strongly the ControlNet acts.", json_schema_extra={"wired": True}
    )
    control_start: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="From which part of the sampling on the ControlNet acts.",
        json_schema_extra={"wired": True},
    )
    control_end: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Up to which part of the sampling the ControlNet acts.",
        json_schema_extra={"wired": True},
    )
    use_ipadapter: bool = _toggle("Guide the style with reference_image.")
    reference_image: Text | None = Field(
        default=None,
        max_length=IMAGE_NAME_MAX_LENGTH,
        description="What guides the style: the name of an uploaded image or of an output.",
        json_schema_extra={"wired": True},
    )
    reference_strength: float = Field(
        default=1.0, ge=0, le=2, description="How strongly the reference acts.", json_schema_extra={"wired": True}
    )
    use_facedetailer: bool = _toggle("Paint faces again in more detail.")
    use_upscale: bool = _toggle("Enlarge the finished image.")
    upscale_factor: Literal[2, 4] = Field(
        default=2,
        description="How many times as wide and as high; 4096 pixels a side at most.",
        json_schema_extra={"wired": True},
    )
    model_variant: ModelVariant = Field(
        default=DEFAULT_VARIANT,
        description="Which model paints; /info tells which of them are here.",
        json_schema_extra={"wired": True},
    )
    workflow: Text | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="One of the operator's own workflows, which /info lists with what they take: nothing else may be "
        "given beside it, and what is left out is as it is there.",
        json_schema_extra={"wired": True},
    )

    @model_validator(mode="before")
    @classmethod
    def _with_what_the_model_is_made_for(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("workflow") is not None:
            return given
        model = given.get("model_variant", DEFAULT_VARIANT)
        if not isinstance(model, str) or model not in VARIANTS:
            return given
        generating = generating_of(model)
        defaults = {"steps": generating.default_steps, "guidance_scale": generating.default_guidance}
        return {**defaults, **given}

    @property
    def generating(self) -> Generating:
        return generating_of(self.model_variant)

    @property
    def has_negative_prompt(self) -> bool:
        return bool(self.negative_prompt.strip())

    @property
    def output_size(self) -> tuple[int, int]:
        """Width and height of the finished image, in pixels."""
        factor = self.upscale_factor if self.use_upscale else 1
        return self.width * factor, self.height * factor

    def fitted(self) -> Self:
        """Return the same with sides that the model can paint."""
        multiple = self.generating.side_multiple_pixels
        sides = {"width": to_multiple(self.width, multiple), "height": to_multiple(self.height, multiple)}
        return self.model_copy(update=sides)


def generating_of(name: str) -> Generating:
    """Raises KeyError for a model that does not generate."""
    generating = VARIANTS[name].generating
    if generating is None:
        raise KeyError(name)
    return generating
