"""All of them, in the order in which they are offered."""

from collections.abc import Mapping
from types import MappingProxyType

from base_models.flux import FLUX_DEV, FLUX_SCHNELL
from base_models.flux2_klein import FLUX2_KLEIN_4B, FLUX2_KLEIN_9B
from base_models.model import Model
from base_models.qwen_image import QWEN_IMAGE
from base_models.sdxl import SDXL
from base_models.z_image import Z_IMAGE, Z_IMAGE_TURBO

_OFFERED = (FLUX_DEV, FLUX_SCHNELL, FLUX2_KLEIN_4B, FLUX2_KLEIN_9B, Z_IMAGE_TURBO, Z_IMAGE, QWEN_IMAGE, SDXL)
MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _OFFERED})


def find(name: str) -> Model:
    """Raises KeyError."""
    return MODELS[name]
