"""Base models and adapters that lie on this machine already: they win over the hub."""

from pathlib import Path

from base_models import Model, Training
from jobs.errors import EngineFailed

_SUFFIX = ".safetensors"


def has_local_copy(models: Path, model: Model) -> bool:
    """Whether a whole copy of the model lies in its own folder below `models`."""
    return model.training is not None and not _missing_parts(models / model.name, model.training)


def find_model(models: Path | None, name: str, model: Training) -> str:
    """Return the folder of a local copy, or the hub id.

    Raises EngineFailed for a folder that lacks something: ai-toolkit would say of it that it cannot reach the hub, or
    would quietly download what is missing.
    """
    if models is None or not (models / name).exists():
        return model.hub_id
    missing = _missing_parts(models / name, model)
    if missing:
        raise EngineFailed(
            f"The local copy of {name} lacks {', '.join(missing)}: complete or remove it (ISENGARD_MODELS_DIR).",
            cause="model_damaged",
        )
    return str(models / name)


def find_adapter(models: Path | None, hub_id: str) -> str:
    """Return the file of a local copy, which bears the last part of the hub id as its name, or the hub id.

    It has to be the file: given its folder, ai-toolkit dies with "No such device".
    """
    name = hub_id.rpartition("/")[2].removesuffix(_SUFFIX) + _SUFFIX
    local = models / name if models is not None else None
    return str(local) if local is not None and local.is_file() else hub_id


def _missing_parts(folder: Path, model: Training) -> list[str]:
    return [part for part in model.local_parts if not (folder / part).exists()]
