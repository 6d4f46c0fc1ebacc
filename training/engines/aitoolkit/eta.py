"""How long a training still takes, by what it took so far."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from jobs.events import Stage

# Long enough to even out single slow batches, short enough to follow a GPU that is slowed down. Both must be covered.
WINDOW_SECONDS = 60.0
WINDOW_STEPS = 20
# The first round of samples also compiles and loads; it counts only until there are others.
ROUNDS_KEPT = 3
_ROUNDS: Mapping[Stage, str] = {"sampling": "sampling", "saving_checkpoint": "saving", "exporting": "saving"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run has to do: steps `start` to `total`, and every so many steps a round of samples or a checkpoint."""

    total: int
    start: int = 0
    sample_every: int = 0
    save_every: int = 0

    def rounds_ahead(self, step: int, every: int, *, is_done_here: bool) -> int:
        """Count the rounds after `step` completed steps, the last one at the end of the training included.

        The trainer makes a round while it is at a multiple of `every`, never at the step it starts with.
        """
        if not every:
            return 0
        first = max(step + 1 if is_done_here else step, self.start + 1)
        amid = max(0, (self.total - 1) // every - (first - 1) // every)
        is_last_ahead = not (is_done_here and step >= self.total)
        return amid + is_last_ahead


class Rounds:
    """The rounds of one sort: what they cost, and whether one is under way."""

    def __init__(self) -> None:
        self._costs: deque[float] = deque(maxlen=ROUNDS_KEPT)
        self._spent: float | None = None
        self._last_step: int | None = None

    def note(self, *, is_under_way: bool, step: int, seconds: float) -> None:
        """Note that `seconds` have passed since the last call, and what the trainer does now."""
        if self._spent is not None:
            self._spent += seconds
        if is_under_way:
            self._spent = self._spent or 0.0
            self._last_step = step
        elif self._spent is not None:
            self._costs.append(self._spent)
            self._spent = None

    def seconds_ahead(self, plan: Plan, step: int, every: int) -> float:
        if not self._costs:
            return 0.0
        cost = fmean(self._costs)
        rest = max(0.0, cost - self._spent) if self._spent is not None else 0.0
        return rest + cost * plan.rounds_ahead(step, every, is_done_here=self._last_step == step)


class Eta:
    """Knows nothing while the trainer loads. Then: steps by their own speed, without the time that samples and saves
    took, and those by what such a round took."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stage: Stage = "initializing"
        self._seen_at: float | None = None
        self._trained_seconds = 0.0
        self._window: deque[tuple[float, int]] = deque()
        self._rounds = {"sampling": Rounds(), "saving": Rounds()}
        self._has_trained = False

    @property
    def steps_per_second(self) -> float | None:
        """Return the measured speed of training alone; None until two steps were seen to end."""
        if len(self._window) < 2:
            return None
        (began, first), (ended, last) = self._window[0], self._window[-1]
        return (last - first) / (ended - began) if ended > began else None

    def note(self, stage: Stage, step: int, *, now: float) -> None:
        """Take what the trainer does and how many steps it has completed. `now` is in seconds of a monotonic clock."""
        seconds = now - self._seen_at if self._seen_at is not None else 0.0
        if self._stage == "training":
            self._trained_seconds += seconds
        for name, rounds in self._rounds.items():
            rounds.note(is_under_way=_ROUNDS.get(stage) == name, step=step, seconds=seconds)
        self._stage, self._seen_at = stage, now
        self._has_trained = self._has_trained or stage == "training"
        self._note_step(step)

    def _note_step(self, step: int) -> None:
        # The first step is left out by this: it begins while the program is still warming up.
        if not self._has_trained or step <= (self._window[-1][1] if self._window else self._plan.start):
            return
        self._window.append((self._trained_seconds, step))
        while len(self._window) > 2 and self._is_covered_from(self._window[1]):
            self._window.popleft()

    def _is_covered_from(self, entry: tuple[float, int]) -> bool:
        seconds, step = self._window[-1]
        return seconds - entry[0] >= WINDOW_SECONDS and step - entry[1] >= WINDOW_STEPS

    def seconds_left(self, step: int, *, told_speed: float | None) -> float | None:
        """Return None while nothing can be said. `told_speed`, in steps per second, serves until one is measured."""
        speed = self.steps_per_second or told_speed
        if not self._has_trained or speed is None:
            return None
        steps = max(0.0, (self._plan.total - step) / speed - self._since_last_step(speed))
        sampling = self._rounds["sampling"].seconds_ahead(self._plan, step, self._plan.sample_every)
        return steps + sampling + self._rounds["saving"].seconds_ahead(self._plan, step, self._plan.save_every)

    def _since_last_step(self, speed: float) -> float:
        # A slow step counts down while it lasts, and never below its end.
        return min(self._trained_seconds - self._window[-1][0], 1 / speed) if self._window else 0.0
