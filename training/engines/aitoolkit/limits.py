"""How long the trainer is given for what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`stall_seconds` is how long it may neither print nor move on: loading a model from a slow disk is silent too."""

    poll_seconds: float = 0.2
    interrupt_seconds: float = 5.0
    terminate_seconds: float = 2.0
    drain_seconds: float = 60.0
    stall_seconds: float = 1800.0


DEFAULT_LIMITS = Limits()
