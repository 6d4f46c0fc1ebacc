"""The base models to train: here already, still to be downloaded, or out of reach."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from base_models import MODELS, Training
from isengard.doctor.finding import Finding, failed, ok, warning
from isengard.doctor.trainer_python import environment
from jobs import readable
from jobs.errors import EngineFailed
from training.engines.aitoolkit.local_copies import find_adapter, find_model
from training.engines.order import Installation
from training.offers import TRAINABLE

AREA = "base models"
# The largest has some twenty billion parameters of two bytes, and a text encoder.
DOWNLOAD_BYTES = 60_000_000_000


def check_models() -> Iterator[Finding]:
    """Tell what is where. Nothing is asked of the hub."""
    here: list[str] = []
    away: list[str] = []
    for name, training in TRAINABLE.items():
        try:
            missing = [hub_id for hub_id in _parts(name, training) if not _is_cached(hub_id)]
        except EngineFailed as exc:
            yield failed(AREA, str(exc), "Copy the whole folder again, or let it be downloaded.")
            continue
        (away if missing else here).append(name)
    if here:
        yield ok(AREA, f"on this machine: {', '.join(here)}")
    if away:
        yield from _away(away)


def _away(names: list[str]) -> Iterator[Finding]:
    if _is_offline():
        advice = f"Unset HF_HUB_OFFLINE, or put them into {settings.MODELS_DIR} (see docs/engines.md)."
        yield warning(AREA, f"not on this machine, and downloads are turned off: {', '.join(names)}", advice)
        return
    yield ok(AREA, f"downloaded at their first training: {', '.join(names)}")
    gated = [name for name in names if MODELS[name].is_gated]
    if gated and not settings.TRAINER_ENVIRONMENT.get("HF_TOKEN"):
        advice = "Accept their licences on Hugging Face and set HF_TOKEN to a token that may read them."
        yield warning(AREA, f"HF_TOKEN is not set: the gated {', '.join(gated)} cannot be downloaded", advice)
    yield from _room()


def _room() -> Iterator[Finding]:
    cache = _hub_cache()
    folder = next(each for each in (cache, *cache.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    if free < DOWNLOAD_BYTES:
        text = f"{readable.size(free)} are free in {cache}: a download may take {readable.size(DOWNLOAD_BYTES)}"
        yield warning(AREA, text, "Make room, or set HF_HOME to a larger disk.")
    elif not os.access(folder, os.W_OK):
        yield failed(AREA, f"{folder} cannot be written", "Set HF_HOME to a folder that the worker's user can write.")


def _parts(name: str, training: Training) -> list[str]:
    """Return the hub ids of what does not lie in ISENGARD_MODELS_DIR. Raises EngineFailed for half a copy."""
    adapters = [training.assistant_adapter] if training.assistant_adapter else []
    wanted = {
        training.hub_id: find_model(settings.MODELS_DIR, name, training),
        **{hub_id: find_adapter(settings.MODELS_DIR, hub_id) for hub_id in adapters},
        **{hub_id: hub_id for hub_id in training.companions},
    }
    return [hub_id for hub_id, found in wanted.items() if found == hub_id]


def _is_cached(hub_id: str) -> bool:
    owner, name = hub_id.split("/")[:2]
    snapshots = _hub_cache() / f"models--{owner}--{name}" / "snapshots"
    return snapshots.is_dir() and any(snapshots.iterdir())


def _is_offline() -> bool:
    installation = Installation(directory=settings.AI_TOOLKIT_DIR, python="", environment=environment())
    return installation.is_offline


def _hub_cache() -> Path:
    """Return where the hub's library keeps what it downloads, by its own rules."""
    told = environment()
    caches = told.get("XDG_CACHE_HOME") or str(Path(told.get("HOME") or Path.home(), ".cache"))
    home = told.get("HF_HOME") or str(Path(caches, "huggingface"))
    return Path(told.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()
