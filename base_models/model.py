"""What is declared of a base model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Family = Literal["flux", "flux2-klein", "z-image", "qwen-image", "sdxl"]
"""Models of one family share their LoRAs: same modules, same names, same shapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How ai-toolkit trains a LoRA for it. `arch` and `hub_id` are as its `model` section wants them.

    `memory_gb`: what the card should have at rank 16, 1024 pixels, batch 1. `ignored`: parameters that have no effect,
    each with the reason. `lora_key`: a regular expression that every tensor's name matches, with the group `half`
    (A or B).
    """

    arch: str
    hub_id: str
    memory_gb: int
    lora_key: str
    sample_guidance: float
    sample_steps: int
    assistant_adapter: str | None = None
    noise_scheduler: Literal["flowmatch", "ddpm"] = "flowmatch"
    is_quantized: bool = True
    model_options: Mapping[str, object] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generating:
    """What ComfyUI loads for it, by file name, and how it samples.

    `guidance`: `embedded` (distilled into the model, as FLUX.1 dev), `cfg` (classifier-free: two evaluations a step
    above 1), `none` (distilled to need none). `clip_type` is the `type` of ComfyUI's CLIP loader.
    """

    diffusion_model: str
    text_encoders: tuple[str, ...]
    clip_type: str
    vae: str
    guidance: Literal["embedded", "cfg", "none"]
    default_steps: int
    default_guidance: float
    is_checkpoint: bool = False
    """One file with everything, as SDXL comes."""
    sampler: str = "euler"
    scheduler: str = "simple"
    shift: float | None = None
    latent_class: str = "EmptySD3LatentImage"


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
