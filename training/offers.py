"""What can be trained here."""

from typing import Any

from jobs.params import describe
from training.params import BASE_MODELS, PRESETS, TrainingParams


def info() -> dict[str, Any]:
    """Return `/info`'s part about training."""
    return {
        "method": "lora",
        "backend": "ai-toolkit",
        "parameters": describe(TrainingParams),
        "presets": {name: dict(preset) for name, preset in PRESETS.items()},
        "base_models": {
            name: {"hub_id": model.hub_id, "licence": model.licence} for name, model in BASE_MODELS.items()
        },
    }
