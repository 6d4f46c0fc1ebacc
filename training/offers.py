"""What can be trained here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from base_models import MODELS, Training
from jobs.params import describe
from training.params import PRESETS, TrainingParams

TRAINABLE: Mapping[str, Training] = MappingProxyType(
    {name: model.training for name, model in MODELS.items() if model.training is not None}
)


def info() -> dict[str, Any]:
    """Return `/info`'s part about training."""
    return {
        "method": "lora",
        "backend": "ai-toolkit",
        "parameters": describe(TrainingParams),
        "presets": {name: dict(preset) for name, preset in PRESETS.items()},
        "base_models": {
            name: {"hub_id": training.hub_id, "licence": MODELS[name].licence} for name, training in TRAINABLE.items()
        },
    }
