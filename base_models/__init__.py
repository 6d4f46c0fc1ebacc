"""Which base models Isengard knows: one declaration each, read by training and by generation."""

from base_models.model import Family, Generating, Model, Training
from base_models.registry import MODELS, find

__all__ = ["MODELS", "Family", "Generating", "Model", "Training", "find"]
