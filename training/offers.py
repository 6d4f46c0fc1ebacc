"""What can be trained here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.conf import settings

from base_models import MODELS, Model, Training
from jobs.params import describe
from training.engines.aitoolkit.local_copies import has_local_copy
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
        "base_models": {name: _described(MODELS[name], training) for name, training in TRAINABLE.items()},
    }


def _described(model: Model, training: Training) -> dict[str, Any]:
    return {
        "title": model.title,
        "family": model.family,
        "architecture": training.architecture,
        "hub_id": training.hub_id,
        "other_hub_ids": [*training.companions, *([training.assistant_adapter] if training.assistant_adapter else [])],
        "licence": model.licence,
        "gated": model.is_gated,
        "is_local": has_local_copy(settings.MODELS_DIR, model),
        "memory_gb": training.memory_gb,
        "ignored_parameters": dict(training.ignored),
        "unusable_values": {name: list(reasons) for name, reasons in training.unusable.items()},
        "defaults": dict(training.defaults),
        "samples": {"guidance_scale": training.sample_guidance, "steps": training.sample_steps},
    }
