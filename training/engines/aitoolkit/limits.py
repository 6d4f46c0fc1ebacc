"""How long the trainer is given for what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`stall_seconds` is how long it may neither print nor move on once it trains, `loading_stall_seconds` before that:
    reading or downloading tens of gigabytes is silent for long."""

    poll_seconds: float = 0.2
    interrupt_seconds: float = 5.0
    terminate_seconds: float = 2.0
    kill_seconds: float = 10.0
    drain_seconds: float = 60.0
    # Nobody is in a hurry then, and a round of samples or a slow disk can hold up the save.
    yield_seconds: float = 600.0
    # A service manager may end worker and trainer at once: the trainer's end is then seen before its reason.
    drain_notice_seconds: float = 2.0
    stall_seconds: float = 1200.0
    loading_stall_seconds: float = 3600.0


DEFAULT_LIMITS = Limits()
# Losses in a row that are no numbers. Single ones happen, above all in half precision, and training recovers from them.
MAX_LOST_LOSSES = 20
