"""What is declared of a base model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Family = Literal["flux", "flux2-klein-4b", "flux2-klein-9b", "z-image", "qwen-image", "sdxl"]
"""Models of one family share their LoRAs: same modules, same names, same shapes."""

PEFT_RANK_AXES: Mapping[str, int | None] = MappingProxyType({"A": 0, "B": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How ai-toolkit trains a LoRA for it. `arch` and `hub_id` are as its `model` section wants them.

    `architecture`: the model's name in a LoRA's metadata (modelspec.architecture, without "/lora").
    `memory_gb`: what the card should have at rank 16, 1024 pixels, batch 1.
    `lora_key`: a regular expression that every tensor's name matches, with the groups `module` and `half`. A module has
    one tensor of each half in `rank_axes`, which says at which axis of its shape the rank stands (None: at none).
    `assistant_adapter`, `companions`: hub ids of what is loaded besides. `local_parts`: what a local copy's folder has
    to hold. `model_options`, `train_options`: further keys of the job file's sections of these names.
    `ignored`: parameters that have no effect, each with the reason. `unusable`: values that cannot work, by parameter,
    each with the reason. `defaults`: parameters whose default differs; the name of another one stands for its value.
    """

    arch: str
    hub_id: str
    architecture: str
    memory_gb: int
    lora_key: str
    sample_guidance: float
    sample_steps: int
    local_parts: tuple[str, ...]
    rank_axes: Mapping[str, int | None] = field(default_factory=lambda: PEFT_RANK_AXES)
    assistant_adapter: str | None = None
    companions: tuple[str, ...] = ()
    noise_scheduler: Literal["flowmatch", "ddpm"] = "flowmatch"
    is_quantized: bool = True
    model_options: Mapping[str, object] = field(default_factory=dict)
    train_options: Mapping[str, object] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    unusable: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)


Names = tuple[str, ...]
"""One file under the names that it is spread by, the one to ask for first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generating:
    """What ComfyUI loads for it, by file name, and how it samples.

    `guidance`: `embedded` (distilled into the model, as FLUX.1 dev), `cfg` (classifier-free: two evaluations a step
    above 1), `none` (distilled to need none). `negative_cfg` is the CFG at which a negative prompt acts where guidance
    is not `cfg`; it costs the second evaluation. `clip_type` is the `type` of ComfyUI's CLIP loader; a checkpoint, as
    SDXL comes, has neither text encoders nor VAE beside it. `minimum_server`: the first ComfyUI that can load it.
    """

    diffusion_model: Names
    guidance: Literal["embedded", "cfg", "none"]
    default_steps: int
    default_guidance: float
    negative_cfg: float = 1.0
    is_checkpoint: bool = False
    text_encoders: tuple[Names, ...] = ()
    clip_type: str = ""
    vae: Names = ()
    sampling: Literal["flux", "flux2", "plain"] = "plain"
    """Which nodes make the noise schedule: those for FLUX.1 dev, those for FLUX.2, or the scheduler by its name."""
    sampler: str = "euler"
    scheduler: str = "simple"
    shift: float | None = None
    latent_class: str = "EmptySD3LatentImage"
    side_multiple_pixels: int = 8
    minimum_server: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`name` is what the API calls it."""

    name: str
    title: str
    family: Family
    licence: str
    is_gated: bool
    training: Training | None
    generating: Generating | None
