"""What a generation engine is asked to do, with everything resolved that only the database knows."""

from dataclasses import dataclass
from pathlib import Path

from generation.params import GenerationParams
from jobs.events import Controls


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFile:
    """A LoRA as the engine lists it: a path below its LoRA folder with forward slashes, "char-1/v2.safetensors"."""

    name: str
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOrder:
    """`params.seed` is never None here. `done` are the indexes, from 0, of images that an earlier attempt made."""

    job_id: str
    attempt: int
    params: GenerationParams
    count: int
    done: frozenset[int]
    loras: tuple[LoraFile, ...]
    server_url: str
    workspace: Path
    controls: Controls

    def seed_of(self, index: int) -> int:
        if self.params.seed is None:
            raise ValueError("The seed of an order must be resolved.")
        return self.params.seed + index
