"""The file beside a workflow: which of our parameters goes into which input of which node."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from generation.params import VARIANTS, ImageField

Parameter = Literal[
    "prompt",
    "negative_prompt",
    "seed",
    "width",
    "height",
    "steps",
    "guidance_scale",
    "denoise",
    "control_strength",
    "reference_strength",
    "init_image",
    "control_image",
    "reference_image",
]
REQUIRED: tuple[Parameter, ...] = ("prompt", "seed")
"""Every request has a prompt, and without a seed all images of a job would be the same."""
TYPES: Mapping[Parameter, tuple[type, ...]] = MappingProxyType(
    {
        "prompt": (str,),
        "negative_prompt": (str,),
        "seed": (int,),
        "width": (int,),
        "height": (int,),
        "steps": (int,),
        "guidance_scale": (int, float),
        "denoise": (int, float),
        "control_strength": (int, float),
        "reference_strength": (int, float),
        "init_image": (str,),
        "control_image": (str,),
        "reference_image": (str,),
    }
)
LORA_PARAMETERS = ("lora_id", "lora_strength", "loras")
STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _as_text(value: object) -> object:
    # ComfyUI shows ids as numbers and writes them as texts.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _known_model(name: str) -> str:
    if name not in VARIANTS:
        raise ValueError(f"must be one of {', '.join(VARIANTS)}")
    return name


def _points_or_loaders(value: Any) -> str:
    # Naming the branch keeps the error to the one that was meant.
    return "loaders" if isinstance(value, list) else "point"


NodeId = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=100)]


class Place(BaseModel):
    """An input that is set."""

    model_config = STRICT

    node: NodeId
    input: str = Field(min_length=1, max_length=200)


class Source(BaseModel):
    """An output that others are fed from."""

    model_config = STRICT

    node: NodeId
    output: int = Field(default=0, ge=0, le=100)


class LoraPoint(BaseModel):
    """Where LoRA loaders are put in: behind the model, and the text encoder if the LoRAs have a part for it."""

    model_config = STRICT

    model: Source
    clip: Source | None = None


Places = Annotated[list[Place], BeforeValidator(_as_list), Field(min_length=1, max_length=20)]
Loaders = Annotated[list[NodeId], Field(min_length=1, max_length=8)]
Loras = Annotated[
    Annotated[Loaders, Tag("loaders")] | Annotated[LoraPoint, Tag("point")], Discriminator(_points_or_loaders)
]


class MapFile(BaseModel):
    """`loras` are the workflow's own loaders, one for each LoRA, or the place where loaders are put in."""

    model_config = STRICT

    title: str = Field(default="", max_length=100)
    description: str = Field(default="", max_length=1000)
    base_model: Annotated[str, AfterValidator(_known_model)] | None = None
    inputs: dict[Parameter, Places]
    loras: Loras | None = None

    @property
    def images(self) -> tuple[ImageField, ...]:
        wanted: tuple[ImageField, ...] = ("init_image", "control_image", "reference_image")
        return tuple(name for name in wanted if name in self.inputs)

    @property
    def max_loras(self) -> int | None:
        """Return how many LoRAs have a place, None where the number is not limited by the workflow."""
        if self.loras is None:
            return 0
        return len(self.loras) if isinstance(self.loras, list) else None

    @property
    def parameters(self) -> tuple[str, ...]:
        return (*self.inputs, *(LORA_PARAMETERS if self.loras is not None else ()))
