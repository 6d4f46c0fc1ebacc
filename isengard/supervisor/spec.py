"""What the supervisor has to know about a process it looks after."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


class StopStage(enum.IntEnum):
    """Who ends when: each stage begins when the one before it is gone."""

    APPLICATION = 1
    STAND_INS = 2
    QUEUE = 3
    GUARD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process: how it is started, after which others, and when it counts as ready.

    `after` names processes that must have been ready once; a one-shot is ready when it has ended with exit code 0.
    Without `is_ready` a process is ready as soon as it runs. Lines of output that start with `banner_prefix` are
    held back for the banner. With `outlives_supervisor` it is not killed along with it, and its standard input
    ends when the supervisor does.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    is_ready: Callable[[], bool] | None = None
    is_one_shot: bool = False
    stop_stage: StopStage = StopStage.APPLICATION
    banner_prefix: str | None = None
    outlives_supervisor: bool = False
