"""Which parameters a base model heeds, which it ignores, and which it cannot work with."""

from collections.abc import Mapping

from base_models import Training
from training.params import TrainingParams


def unusable(params: TrainingParams, model: Training) -> dict[str, str]:
    """Return, by parameter, why the run cannot work with what was asked."""
    asked = {name: (getattr(params, name), reasons) for name, reasons in model.unusable.items()}
    return {name: reasons[value] for name, (value, reasons) in asked.items() if value in reasons}


def ignored(params: TrainingParams, model: Training) -> dict[str, str]:
    """Return, by parameter, why what was asked will have no effect."""
    effective = _effective(params)
    return {name: reason for name, reason in model.ignored.items() if getattr(params, name) != effective.get(name)}


def _effective(params: TrainingParams) -> Mapping[str, object]:
    """Return what the engine uses instead of an ignored parameter, where that is known."""
    return {"network_alpha": params.lora_rank}
