"""Misbehaviour on request, so that tests can see how a client copes. Says nothing of how each fault is carried out."""

import threading
from collections.abc import Callable, Sequence

ONE_SHOT = frozenset({"lose-prompt", "oom", "error", "hang", "hang-deaf", "no-output-file", "crash"})
STANDING = frozenset({"broken", "full-gpu"})
IMMEDIATE = frozenset({"lose-queue", "deaf-sockets", "drop-sockets"})
LASTING = frozenset({"slow-decode", "late-history", "late-reply"})
COUNTED = frozenset({"http-500"})


class FaultUnknown(ValueError):
    """A fault has a name that nobody knows, or lacks its argument, or has one too many."""


class Faults:
    """The faults that wait for their moment. One-shot ones fire once; standing ones and those with seconds last
    until replaced."""

    def __init__(self) -> None:
        self._armed: dict[str, float] = {}
        self._lock = threading.Lock()
        self._act: Callable[[str], None] = _do_nothing

    def carry_out_with(self, act: Callable[[str], None]) -> None:
        self._act = act

    def arm(self, texts: Sequence[str]) -> None:
        """Replace whatever was armed. Raises FaultUnknown, and then changes nothing."""
        armed = dict(_parse(text) for text in texts)
        if len(armed) != len(texts):
            raise FaultUnknown("The same fault is named twice.")
        with self._lock:
            self._armed = armed

    def armed(self) -> list[str]:
        with self._lock:
            return [_spell(name, argument) for name, argument in self._armed.items()]

    def take(self, name: str) -> bool:
        """Say whether one-shot `name` is armed, and disarm it."""
        with self._lock:
            return self._armed.pop(name, None) is not None

    def is_armed(self, name: str) -> bool:
        with self._lock:
            return name in self._armed

    def count_down(self, name: str) -> bool:
        with self._lock:
            left = self._armed.pop(name, 0)
            if left > 1:
                self._armed[name] = left - 1
            return left > 0

    def seconds(self, name: str) -> float:
        with self._lock:
            return self._armed.get(name, 0.0)

    def act_now(self) -> None:
        """Carry out those that need no moment of their own."""
        for name in sorted(IMMEDIATE):
            if self.take(name):
                self._act(name)


def _do_nothing(_: str) -> None:
    return


def _parse(text: str) -> tuple[str, float]:
    name, colon, argument = text.partition(":")
    if name in LASTING and colon:
        return name, _number(text, argument)
    if name in COUNTED and argument.isdecimal() and int(argument) > 0:
        return name, int(argument)
    if name in ONE_SHOT | STANDING | IMMEDIATE and not colon:
        return name, 1
    raise FaultUnknown(f"Unknown fault '{text}'. Known are {', '.join(_spellings())}.")


def _number(text: str, argument: str) -> float:
    try:
        seconds = float(argument)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise FaultUnknown(f"Fault '{text}' needs a number of seconds, 0 or more.")
    return seconds


def _spellings() -> list[str]:
    with_seconds = {f"{name}:SECONDS" for name in LASTING}
    with_count = {f"{name}:N" for name in COUNTED}
    return sorted(ONE_SHOT | STANDING | IMMEDIATE | with_seconds | with_count)


def _spell(name: str, argument: float) -> str:
    return name if name in ONE_SHOT | STANDING | IMMEDIATE else f"{name}:{argument:g}"
