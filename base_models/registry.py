"""All of them, in the order in which they are offered."""

from collections.abc import Mapping
from types import MappingProxyType

from base_models.flux import FLUX_DEV, FLUX_SCHNELL
from base_models.model import Model

MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in (FLUX_DEV, FLUX_SCHNELL)})


def find(name: str) -> Model:
    """Raises KeyError."""
    return MODELS[name]
