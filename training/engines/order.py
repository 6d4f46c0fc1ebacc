"""What a training engine is asked to do, and where its program lives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobs.events import Controls
from training.params import TrainingParams

# What the hub's library reads as yes.
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """One picture to learn from; it is read, never changed.

    `name` is what the person who sent it calls it, and `sha256` what its bytes had then; empty where nobody knows.
    """

    path: Path
    caption: str | None
    image_id: int | None = None
    name: str = ""
    sha256: str = ""

    @property
    def title(self) -> str:
        return self.name or self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """One attempt at one training.

    `workspace` is a folder of this job's own, the same for every attempt on this machine. `checkpoint` is the newest
    published one: where to start from when the workspace has none, as after a move to another machine. `dataset_hash`
    is what the attempt before trained on, None at the first.
    """

    job_id: str
    attempt: int
    params: TrainingParams
    base_model: str
    trigger_word: str
    images: tuple[SourceImage, ...]
    workspace: Path
    controls: Controls
    checkpoint: Path | None
    dataset_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where ai-toolkit is, and the interpreter that runs it.

    `environment` is all that the trainer gets (HOME, PATH, HF_TOKEN, CUDA_VISIBLE_DEVICES, …). It inherits nothing, so
    that a third party's program never sees the keys to our database. A relative `python` is relative to `directory`.
    `models` holds local copies: a folder per base model, by its name, and the files of adapters.
    """

    directory: Path
    python: str
    # Out of the repr, because tokens travel in it and a repr ends up in a traceback.
    environment: Mapping[str, str] = field(repr=False)
    models: Path | None = None

    @property
    def is_offline(self) -> bool:
        """Whether the trainer is told not to ask the hub for anything."""
        flags = (self.environment.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
        return any(flag in _TRUE for flag in flags)
