"""What a person may ask of a training, declared once for validation, /info, OpenAPI, the admin and the job file."""

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)
from pydantic_core import PydanticCustomError


def _require_int(value: object) -> object:
    # A Literal compares with ==, so it would take True for 1 and 512.0 for 512.
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


def _require_words(text: str) -> str:
    for character in text:
        if unicodedata.category(character) == "Cc" and character not in "\n\t":
            raise PydanticCustomError("control_character", "must not contain control characters")
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


def _prompts_or_prompt(value: object) -> str:
    # Naming the branch keeps the error to the one the sender meant, instead of one for each member of the union.
    return "prompts" if isinstance(value, list) else "prompt"


LoraRank = Annotated[Literal[4, 8, 16, 32, 64, 128], BeforeValidator(_require_int)]
Resolution = Annotated[Literal[512, 768, 1024], BeforeValidator(_require_int)]
BatchSize = Annotated[Literal[1, 2, 4], BeforeValidator(_require_int)]
# The same as `_require_words`, for who reads the schema.
_PRINTED = r"[^\u0000-\u0008\u000B-\u001F\u007F-\u009F]*"
_VISIBLE = r"[^\s\u0000-\u001F\u007F-\u009F]"
Prompt = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1000),
    AfterValidator(_require_words),
    Field(json_schema_extra={"pattern": f"^{_PRINTED}{_VISIBLE}{_PRINTED}$"}),
]
Prompts = Annotated[list[Prompt], Field(max_length=5)]
SamplePrompts = Annotated[
    Annotated[Prompts, Tag("prompts")] | Annotated[Prompt, Tag("prompt")], Discriminator(_prompts_or_prompt)
]
Optimizer = Literal["adamw8bit", "adamw", "prodigy"]
Scheduler = Literal["constant", "cosine", "cosine_with_restarts", "linear"]
Precision = Literal["bf16", "fp16", "fp32"]
CaptionStrategy = Literal["trigger_only", "natural", "tags"]
PresetName = Literal["quick", "balanced", "quality", "custom"]


class TrainingParams(BaseModel):
    """One training's parameters. What the engine itself cannot do says `wired: false`, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    method: Literal["lora"] = Field("lora", description="What is trained: a LoRA.", json_schema_extra={"wired": True})
    steps: int = Field(
        1000, ge=100, le=10000, description="Number of training steps.", json_schema_extra={"wired": True}
    )
    learning_rate: float = Field(
        0.0001,
        ge=0.000001,
        le=0.01,
        description=(
            "Step size of the optimizer. Prodigy finds its own: there the default means 1.0, other values scale it."
        ),
        json_schema_extra={"wired": True},
    )
    lora_rank: LoraRank = Field(
        16, description="Rank of the LoRA: more learns more, and takes more memory.", json_schema_extra={"wired": True}
    )
    resolution: Resolution = Field(
        1024,
        description="Side in pixels that images are scaled to, keeping their shape.",
        json_schema_extra={"wired": True},
    )
    batch_size: BatchSize = Field(1, description="Images in one batch.", json_schema_extra={"wired": True})
    optimizer: Optimizer = Field(
        "adamw8bit",
        description="adamw8bit needs the least memory; prodigy sets its own rate.",
        json_schema_extra={"wired": True},
    )
    scheduler: Scheduler = Field(
        "cosine",
        description=(
            "How the learning rate changes over the run. cosine_with_restarts never restarts in ai-toolkit: "
            "it does what cosine does. linear falls to zero."
        ),
        json_schema_extra={"wired": True},
    )
    precision: Precision = Field(
        "bf16", description="Number format of the training and of the saved LoRA.", json_schema_extra={"wired": True}
    )
    gradient_accumulation: int = Field(
        1, ge=1, le=8, description="Batches that make up one step.", json_schema_extra={"wired": True}
    )
    network_alpha: int = Field(
        16,
        ge=1,
        le=128,
        description="Scale of the LoRA: it acts as alpha / rank. Left out, a model that heeds it takes the rank.",
        json_schema_extra={
            "wired": False,
            "reason": "ai-toolkit sets alpha to the rank for all base models but SDXL, which heeds it.",
        },
    )
    caption_strategy: CaptionStrategy = Field(
        "trigger_only",
        description=(
            "trigger_only: 'a photo of <trigger>' for every image; natural: the image's own caption with the trigger "
            "word in it; tags: its comma-separated tags, trigger first. Without a caption: trigger_only."
        ),
        json_schema_extra={"wired": True},
    )
    sample_every_n_steps: int = Field(
        100, ge=50, le=1000, description="Steps between two rounds of samples.", json_schema_extra={"wired": True}
    )
    sample_count: int = Field(
        3, ge=1, le=5, description="Pictures in a round of samples.", json_schema_extra={"wired": True}
    )
    sample_prompts: SamplePrompts | None = Field(
        None,
        description=(
            "At most five prompts of 1 to 1000 characters, or one. They are used in turn, and [trigger] stands for "
            "the trigger word. Null or an empty list: prompts made from the trigger word."
        ),
        json_schema_extra={"wired": True},
    )
    checkpoint_every_n_steps: int = Field(
        250, ge=100, le=2000, description="Steps between two checkpoints.", json_schema_extra={"wired": True}
    )
    max_checkpoints: int = Field(
        2, ge=1, le=4, description="Newest checkpoints that are kept.", json_schema_extra={"wired": True}
    )


PRESETS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "quick": MappingProxyType({"steps": 500, "lora_rank": 8, "resolution": 512}),
        "balanced": MappingProxyType({"steps": 1000, "lora_rank": 16, "resolution": 768}),
        "quality": MappingProxyType({"steps": 2000, "lora_rank": 32, "resolution": 1024}),
        "custom": MappingProxyType({}),
    }
)


_NONE: Mapping[str, object] = MappingProxyType({})


def resolve(
    config: Mapping[str, object], preset_name: str | None, *, model_defaults: Mapping[str, object] = _NONE
) -> TrainingParams:
    """Fill what `config` leaves open from the preset, then from the base model's defaults, then from the general ones.

    Raises pydantic's ValidationError for a bad or unknown parameter and KeyError for an unknown preset.
    """
    given = {**(PRESETS[preset_name] if preset_name is not None else {}), **config}
    params = TrainingParams.model_validate(given)
    left_out = {name: default for name, default in model_defaults.items() if name not in given}
    return params.model_copy(update={name: _default(params, default) for name, default in left_out.items()})


def _default(params: TrainingParams, default: object) -> object:
    is_name = isinstance(default, str) and default in TrainingParams.model_fields
    return getattr(params, str(default)) if is_name else default
