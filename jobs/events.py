"""What an engine tells while it runs. Framework-free: engines yield these, `jobs.driving` acts on them.

An engine is a generator of events. While it waits it yields `Tick` at least twice a second, so that a cancel, a lost
lease or a drain is noticed. Closing the generator cancels the work: its `finally` frees whatever it holds and returns
only when that is gone. It ends with `Finished`, raises `jobs.errors.EngineFailed`, or, when `Controls.is_draining`,
simply returns: the job then goes back to the queue.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Stage = Literal[
    "queued",
    "initializing",
    "loading_model",
    "preparing_dataset",
    "captioning",
    "training",
    "sampling",
    "saving_checkpoint",
    "exporting",
]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
ArtifactType = Literal["sample", "checkpoint", "model", "log", "output", "config"]

ENGINE_CONFIG_NAME = "engine_config.json"


@dataclass(frozen=True, slots=True)
class Tick:
    """The engine is alive and has nothing to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What must be gone before the slot is free again: a process (`pid`, `start_time`) or prompts on a server."""

    identity: Mapping[str, str | int | float | list[str]]


@dataclass(frozen=True, slots=True)
class Started:
    """The engine began to execute the job: it leaves `queued` for `running`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the work is. A field left None keeps its last value.

    `step` counts completed steps, 0 to `total`. `iteration_speed` is steps per second.
    """

    stage: Stage | None = None
    step: int | None = None
    total: int | None = None
    message: str | None = None
    loss: float | None = None
    learning_rate: float | None = None
    iteration_speed: float | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What was measured at a step. `step` counts completed steps, from 1; `loss` is None where it was not finite."""

    step: int
    loss: float | None
    learning_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Measured since the last time, in order of steps. The first one ends whatever an earlier attempt said of it and
    of later steps."""

    points: tuple[Loss, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A line for the job's log. `event` is a dotted name such as `engine.console`."""

    message: str
    level: LogLevel = "INFO"
    event: str = "engine.console"
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What this attempt works with, in JSON's types: kept with the job, so that its result can be explained later.

    A `start_step` is where the attempt goes on from.
    """

    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A whole file at `path`, ready to be published as `name`. It is copied; the engine may delete it afterwards.

    A `config` is what the engine itself is given: kept for whoever looks into a failure, and not told to clients.
    """

    type: ArtifactType
    name: str
    path: Path
    step: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A small picture of work in progress, at most some tens of kilobytes. `image_index` counts from 0."""

    image: bytes
    content_type: Literal["image/jpeg", "image/png"]
    image_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Obeyed:
    """What `Controls` asked for is done."""

    verb: Literal["save", "sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The work is done. `model` is the trained file, where there is one."""

    model: Path | None = None
    details: Mapping[str, object] = field(default_factory=dict)


Event = Tick | Holding | Started | Progress | Losses | Log | Facts | Artifact | Preview | Obeyed | Finished


class Controls:
    """What the runner asks of a running engine, which looks at it on every turn of its loop."""

    def __init__(self) -> None:
        self._drain = threading.Event()
        self._yield = threading.Event()
        self._leave = threading.Event()
        self._save = threading.Event()
        self._sample = threading.Event()
        self._last_words: list[Log] = []

    def say_last(self, line: Log) -> None:
        """For what an engine has to say while it is being closed, when it can yield no more."""
        self._last_words.append(line)

    def take_last_words(self) -> list[Log]:
        words, self._last_words = self._last_words, []
        return words

    def ask_to_save(self) -> None:
        """Ask for a checkpoint at the next step."""
        self._save.set()

    def ask_to_sample(self) -> None:
        """Ask for a round of samples at the next step."""
        self._sample.set()

    def take_save(self) -> bool:
        """Return whether a checkpoint was asked for since the last call."""
        return _take(self._save)

    def take_sample(self) -> bool:
        """Return whether samples were asked for since the last call."""
        return _take(self._sample)

    def ask_to_drain(self) -> None:
        """Ask the engine to save what it has and to return, so that the job can go on elsewhere."""
        self._drain.set()

    def ask_to_yield(self) -> None:
        """Ask the same, because others wait for the GPU."""
        self._yield.set()

    def ask_to_leave(self) -> None:
        """Ask the same, because an operator empties the slot."""
        self._leave.set()

    @property
    def is_draining(self) -> bool:
        return self.is_hurried or self.is_yielding or self.is_leaving

    @property
    def is_hurried(self) -> bool:
        """Whether the worker itself has to end: what is not saved soon is lost."""
        return self._drain.is_set()

    @property
    def is_yielding(self) -> bool:
        return self._yield.is_set()

    @property
    def is_leaving(self) -> bool:
        return self._leave.is_set()


def _take(flag: threading.Event) -> bool:
    was_set = flag.is_set()
    flag.clear()
    return was_set
