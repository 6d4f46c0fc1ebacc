"""What the builders share: what is asked for, what they hand on to each other, and how they name their nodes."""

from collections.abc import Mapping
from dataclasses import dataclass

from base_models import Family, Generating
from generation.engines.comfyui.catalogue import Catalogue
from generation.engines.comfyui.nodes import Link, SamplerSettings
from generation.params import VARIANTS, GenerationParams, ImageField

# A node's id is the same in every graph that has it, so that graphs can be compared and progress be told by node.
MODEL, CLIP, VAE = "1", "2", "3"
PROMPT, GUIDANCE, NEGATIVE, NEGATIVE_GUIDANCE = "5", "6", "16", "18"
LATENT, NOISE, SAMPLER_NAME, SHIFT, SIGMAS, GUIDER = "7", "8", "9", "10", "11", "12"
SAMPLER, DECODE, SAVE = "13", "14", "15"
SPLIT_SIGMAS = "17"
INIT_IMAGE, INIT_SIZE, INIT_LATENT = "20", "21", "22"
CONTROL_NET, CONTROL_IMAGE, CONTROL_SIZE, CONTROL_MAP, CONTROL, UNION_TYPE = "30", "31", "32", "33", "34", "35"
FIRST_LORA = 40
REFERENCE_IMAGE, CLIP_VISION, CLIP_VISION_OUTPUT, STYLE_MODEL, REFERENCE, IP_ADAPTER = (
    "60",
    "61",
    "62",
    "63",
    "64",
    "65",
)
FACE_DETECTOR, FACES = "70", "71"
UPSCALE_MODEL, UPSCALED, ENLARGED = "80", "81", "82"


class NotOffered(ValueError):
    """No graph can do this with this model, on any server; the text says so to the person who asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`images` are the names by which the server knows the images that the parameters name."""

    params: GenerationParams
    seed: int
    catalogue: Catalogue
    images: Mapping[ImageField, str]

    @property
    def model(self) -> Generating:
        return self.params.generating

    @property
    def family(self) -> Family:
        return VARIANTS[self.params.model_variant].family

    @property
    def title(self) -> str:
        return VARIANTS[self.params.model_variant].title

    @property
    def cfg(self) -> float:
        """Return how far the prompt is pushed away from the negative one; at 1 the latter is not even looked at."""
        if self.model.guidance == "cfg":
            return self.params.guidance_scale
        return self.model.negative_cfg if self.params.has_negative_prompt else 1.0

    @property
    def denoise(self) -> float:
        return self.params.denoise if self.params.init_image is not None else 1.0

    def sampler_settings(self, *, denoise: float) -> SamplerSettings:
        return {
            "seed": self.seed,
            "steps": self.params.steps,
            "cfg": self.cfg,
            "sampler_name": self.model.sampler,
            "scheduler": self.model.scheduler,
            "denoise": denoise,
        }

    def image(self, field: ImageField) -> str:
        """Return the server's name for an image. Without one the graph is only looked at, never run."""
        return self.images.get(field) or f"{field}.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    model: Link
    clip: Link
    vae: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The prompts as the model reads them."""

    positive: Link
    negative: Link
