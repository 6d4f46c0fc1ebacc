"""What a kind of job brings. The apps above register theirs; nothing here knows them."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jobs import in_words
from jobs.events import Controls, Event, Finished
from jobs.in_words import Told
from jobs.models import Job, Slot
from jobs.resume_points import ResumePoint
from jobs.transitions import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSpec:
    """A place for work that a worker of this host can serve. `gpu_host` is where the GPU is."""

    name: str
    gpu_host: str
    gpu: str
    engine: str


class Verdict(ABC):
    """The last step of a successful run: file work first, rows in one transaction, and a way back."""

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """Return what the completed row gets."""

    @abstractmethod
    def record(self) -> None:
        """Write the rows that appear with the completed job. Called inside its transaction."""

    @abstractmethod
    def discard(self) -> None:
        """Remove the files, unless a row names them: the job was cancelled, somebody else has it, or no row came."""


class PlainVerdict(Verdict):
    """Nothing beyond the row itself."""

    def fields(self) -> dict[str, Any]:
        return {}

    def record(self) -> None:
        pass

    def discard(self) -> None:
        pass


class JobKind(ABC):
    name: ClassVar[str]
    id_prefix: ClassVar[str]
    title: ClassVar[str]
    claims_per_slot: ClassVar[int] = 1
    # A kind that queues ahead inside its engine starts when the engine says so.
    starts_at_claim: ClassVar[bool] = True
    # What its jobs do, after "is", and what people call the engine that does it.
    doing: ClassVar[str] = "running"
    engine_name: ClassVar[str] = "The engine"
    # Its runs are long and go on from where they saved: asked for it, they let others have the GPU for a while.
    makes_room: ClassVar[bool] = False
    # Its engine tells a loss for each step.
    measures_loss: ClassVar[bool] = False
    # An engine that yields nothing for so long is stuck; its worker then stops beating.
    stall_seconds: ClassVar[float] = 120

    @abstractmethod
    def slots(self) -> list[SlotSpec]:
        """Return the slots that a worker of this kind on this host serves, by its settings."""

    @abstractmethod
    def is_ready(self, slot: Slot) -> bool:
        """Return within about a second whether the slot's engine would take work now."""

    def affinity(self, job: Job) -> str:
        """Return what the job needs loaded, at most 100 characters: an engine that has it starts sooner."""
        return ""

    def disk_bytes(self, job: Job) -> int:
        """Return about how much the job will write, in its workspace and into storage."""
        return 0

    def welcome_back(self, slot: Slot) -> None:
        """Tidy up an engine that was out of reach, before its slot takes work again."""
        return

    def free_gpu(self, slot: Slot) -> Iterator[Event]:
        """Make the slot's idle engine give back its GPU's memory, for a run of another kind.

        Yields Log and Tick, bounded in time. Raises nothing: an engine that is down holds nothing.
        """
        yield from ()

    @abstractmethod
    def run(self, job: Job, claim: Claim, workspace: Path, controls: Controls) -> Generator[Event, None, None]:
        """Return the engine's events for this attempt (see `jobs.events`)."""

    @abstractmethod
    def stop_leftover(self, job: Job) -> bool:
        """Stop what a dead worker left running for `job.holder`; return whether it is gone."""

    def kept_checkpoints(self, job: Job) -> int | None:
        """Return how many of the newest checkpoints stay published; None: all."""
        return None

    def point_for_retry(self, job: Job, *, from_checkpoint: bool | None) -> ResumePoint | None:
        """Return where a retry of an ended job goes on from, None: from the beginning (see `jobs.retrying`)."""
        return None

    def hold_for_retry(self, job: Job) -> None:
        """Keep what a retry works from beyond its row. Called in the transaction that submits it, after its row.

        Raises jobs.retrying.NotRetryable where something is gone.
        """
        return

    def asked_for(self, job: Job) -> Iterator[Told]:
        """Yield what was asked of the job in words, for whoever looks at it."""
        return in_words.undeclared(job.config)

    def sample_prompts(self, job: Job) -> list[str]:
        """Return what each picture in a round of samples shows, in the order of their numbers."""
        return []

    def conclude(self, job: Job, claim: Claim, finished: Finished) -> Verdict:
        """Put the result's files in place, before the transaction that publishes them."""
        return PlainVerdict()


_kinds: dict[str, JobKind] = {}


def register(kind: JobKind) -> None:
    _kinds[kind.name] = kind


def get(name: str) -> JobKind:
    return _kinds[name]


def all_kinds() -> Iterator[JobKind]:
    yield from _kinds.values()


def names() -> list[str]:
    return list(_kinds)


def engine_identity(job: Job) -> Mapping[str, Any]:
    """Return what the engine said it holds (`jobs.events.Holding`), empty before it said so."""
    return dict((job.holder or {}).get("engine", {}))
