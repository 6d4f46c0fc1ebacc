"""What a generation engine is asked to do, with everything resolved that only the database knows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from generation.params import GenerationParams, ImageField
from generation.workflows.workflow import Workflow
from jobs.events import Controls


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFile:
    """A LoRA as the engine lists it: a path below its LoRA folder with forward slashes, "char-1/v2.safetensors"."""

    name: str
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenImage:
    """An image to work from. `name` tells its content: the same name always has the same bytes."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrompts:
    """The prompts of one image, with every choice in them made."""

    prompt: str
    negative_prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOrder:
    """`params.seed` is never None here. `done` are the indexes, from 0, of images that an earlier attempt made."""

    job_id: str
    attempt: int
    params: GenerationParams
    count: int
    done: frozenset[int]
    loras: tuple[LoraFile, ...]
    server_url: str
    workspace: Path
    controls: Controls
    images: Mapping[ImageField, GivenImage] = field(default_factory=dict)
    """By the parameter that names each."""
    prompts: tuple[ImagePrompts, ...] = ()
    """Of each image; empty where all have those of `params`."""
    workflow: Workflow | None = None
    """The operator's own that is run instead of ours."""

    @property
    def output_size(self) -> tuple[int, int] | None:
        """Width and height of every image in pixels, None where only the operator's workflow knows."""
        return self.params.output_size if self.workflow is None else None

    def seed_of(self, index: int) -> int:
        if self.params.seed is None:
            raise ValueError("The seed of an order must be resolved.")
        return self.params.seed + index

    def params_of(self, index: int) -> GenerationParams:
        """Return the parameters that make this image alone."""
        alone: dict[str, Any] = {"seed": self.seed_of(index)}
        if self.prompts:
            alone |= {**asdict(self.prompts[index]), "dynamic_prompts": False}
        return self.params.model_copy(update=alone)
