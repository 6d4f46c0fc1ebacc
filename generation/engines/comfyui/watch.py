"""The clocks of one run: when to look at the server, and how long to bear with it."""

import time
from collections.abc import Iterator

from generation.engines.comfyui.errors import ServerAway
from generation.engines.comfyui.limits import Limits
from jobs.errors import EngineUnavailable
from jobs.events import Event, Log, Tick


class Watch:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._next_look = 0.0
        self._last_look = 0.0
        self._last_sign = self._renewed_at = time.monotonic()
        self._away_since: float | None = None
        self._refused_since: float | None = None
        self._drain_until: float | None = None

    @property
    def is_time_to_look(self) -> bool:
        return time.monotonic() >= self._next_look

    @property
    def listen_seconds(self) -> float:
        """How long to listen to the socket before something else is due."""
        return min(max(self._next_look - time.monotonic(), 0.0), self._limits.tick_seconds)

    def note_look(self) -> None:
        self._last_look = time.monotonic()
        self._next_look = self._last_look + self._limits.poll_seconds

    def look_now(self) -> None:
        self._next_look = 0.0

    def hint(self) -> None:
        """Look soon, and not too often: on a busy server something happens all the time."""
        self._next_look = min(self._next_look, self._last_look + self._limits.hinted_poll_seconds)

    def note_sign(self) -> None:
        self._last_sign = time.monotonic()

    @property
    def is_stalled(self) -> bool:
        return time.monotonic() - self._last_sign > self._limits.stall_seconds

    def is_silent_since(self, last_heard: float) -> bool:
        last = max(last_heard, self._last_sign, self._renewed_at)
        return time.monotonic() - last > self._limits.silence_seconds

    def note_socket_renewed(self) -> None:
        self._renewed_at = time.monotonic()

    def begin_to_drain(self) -> None:
        self._drain_until = time.monotonic() + self._limits.drain_seconds

    @property
    def is_draining(self) -> bool:
        return self._drain_until is not None

    @property
    def is_drain_over(self) -> bool:
        return self._drain_until is not None and time.monotonic() >= self._drain_until

    def bear_absence(self, exc: ServerAway) -> Iterator[Event]:
        """Raises EngineUnavailable once the server has been away for too long."""
        now = time.monotonic()
        self._next_look = now + self._limits.poll_seconds
        if self._away_since is None:
            self._away_since = now
            yield Log(message=str(exc), level="WARNING", event="engine.away")
        # A server that nobody listens at is dead, and its prompts with it; any other may still be at work on them.
        self._refused_since = (self._refused_since or now) if exc.is_refused else None
        is_dead = self._refused_since is not None and now - self._refused_since > self._limits.refused_seconds
        if is_dead or now - self._away_since > self._limits.away_seconds:
            raise EngineUnavailable(str(exc)) from exc
        yield Tick()

    def note_answer(self) -> Iterator[Event]:
        self._refused_since = None
        if self._away_since is not None:
            self._away_since = None
            yield Log(message="The ComfyUI server answers again.", event="engine.back")
