"""What a training engine is asked to do, and where its program lives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobs.events import Controls
from training.params import TrainingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """One picture to learn from; it is read, never changed."""

    path: Path
    caption: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """One attempt at one training.

    `workspace` is a folder of this job's own, the same for every attempt on this machine. `checkpoint` is the newest
    published one: where to start from when the workspace has none, as after a move to another machine.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where ai-toolkit is, and the interpreter that runs it.

    `environment` is all that the trainer gets (HOME, PATH, HF_TOKEN, CUDA_VISIBLE_DEVICES, …). It inherits nothing, so
    that a third party's program never sees the keys to our database. A relative `python` is relative to `directory`.
    """

    directory: Path
    python: str
    # Out of the repr, because tokens travel in it and a repr ends up in a traceback.
    environment: Mapping[str, str] = field(repr=False)
