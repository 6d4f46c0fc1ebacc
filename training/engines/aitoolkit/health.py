"""When a running trainer is beyond help: it stands still, learns nothing any more, or began in the wrong place."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping

from jobs.errors import EngineFailed
from jobs.events import Log, Loss, Stage
from training.engines.aitoolkit.failures import picture_in
from training.engines.aitoolkit.job_row import RowState
from training.engines.aitoolkit.limits import MAX_LOST_LOSSES, Limits

_SETTLE_SECONDS = 5.0
_LOADING: tuple[Stage, ...] = ("initializing", "loading_model", "preparing_dataset")
_STAGE_WORDS: Mapping[str, str] = {
    "initializing": "while it started",
    "loading_model": "while it loaded the base model",
    "preparing_dataset": "while it prepared the images",
    "sampling": "while it made sample pictures",
    "saving_checkpoint": "while it saved a checkpoint",
    "exporting": "while it wrote the LoRA",
}
_FOUND_STEP = re.compile(r"Found step (?P<step>\d+) in metadata, starting from there")


class Health:
    """`titles`: what people call the staged pictures, by file name."""

    def __init__(self, *, start_step: int, titles: Mapping[str, str]) -> None:
        self._start_step = start_step
        self._titles = titles
        self._named: set[str] = set()
        self._lost_losses: list[Loss] = []
        self._behind_since: float | None = None
        self._last_life: tuple[RowState, int] | None = None
        self._alive_at = time.monotonic()

    def listen(self, lines: Iterable[Log]) -> Iterator[Log]:
        """Yield what the console's new lines mean. Raises EngineFailed where they say that it began elsewhere."""
        for line in lines:
            match = _FOUND_STEP.search(line.message)
            if match is not None and int(match["step"]) != self._start_step:
                raise _began_elsewhere(self._start_step, int(match["step"]))
            yield from self._name_picture(line.message)

    def measure(self, points: Iterable[Loss]) -> Iterator[Log]:
        """Raises EngineFailed when the loss has been no number for MAX_LOST_LOSSES steps in a row."""
        for point in points:
            if not _is_lost(point):
                self._lost_losses.clear()
                continue
            self._lost_losses.append(point)
            first = self._lost_losses[0]
            if len(self._lost_losses) == 1:
                yield _warn_of_divergence(first)
            if len(self._lost_losses) >= MAX_LOST_LOSSES:
                raise _diverged(first)

    def refuse_wrong_start(self, row: RowState, stage: Stage) -> None:
        """Raises EngineFailed when the trainer has begun before the step that its newest save is of."""
        if stage != "training" or row.status != "running" or row.step >= self._start_step:
            self._behind_since = None
            return
        # The step and the words of its row are written by two threads, so one may be ahead of the other for a moment.
        self._behind_since = self._behind_since or time.monotonic()
        if time.monotonic() - self._behind_since > _SETTLE_SECONDS:
            raise _began_elsewhere(self._start_step, row.step)

    def refuse_stall(self, row: RowState, console_bytes: int, *, stage: Stage, limits: Limits) -> None:
        """Raises EngineFailed when the trainer neither printed nor moved on for too long."""
        life = (row, console_bytes)
        if life != self._last_life:
            self._last_life, self._alive_at = life, time.monotonic()
            return
        allowed = limits.loading_stall_seconds if stage in _LOADING else limits.stall_seconds
        if time.monotonic() - self._alive_at > allowed:
            raise _hung(allowed, stage=stage, step=row.step)

    def _name_picture(self, line: str) -> Iterator[Log]:
        staged = picture_in(line)
        if staged is None or staged in self._named:
            return
        self._named.add(staged)
        text = f"ai-toolkit cannot read the training image {self._titles.get(staged, staged)} and does without it."
        yield Log(message=text, level="WARNING", event="training.bad_image")


def _is_lost(point: Loss) -> bool:
    # Of a loss that is no number ai-toolkit goes on with a zero, which it then logs, and learns nothing from the step.
    return point.loss is None or point.loss == 0.0


def _warn_of_divergence(first: Loss) -> Log:
    text = f"The loss is no number at step {first.step}; {MAX_LOST_LOSSES} in a row end the training."
    return Log(message=text, level="WARNING", event="training.diverged")


def _diverged(first: Loss) -> EngineFailed:
    rate = f" (it was {first.learning_rate:g})" if first.learning_rate else ""
    text = f"The training diverged: its loss is no number since step {first.step}. Lower the learning rate{rate}"
    return EngineFailed(f"{text}, then start a new training.", cause="diverged")


def _began_elsewhere(expected: int, found: int) -> EngineFailed:
    text = f"ai-toolkit began at step {found} though the newest whole save is of step {expected}"
    return EngineFailed(
        f"{text}: look into its folder for files that are not its own.", is_retryable=True, cause="start"
    )


def _hung(seconds: float, *, stage: Stage, step: int) -> EngineFailed:
    where = _STAGE_WORDS.get(stage, f"at step {step}")
    text = f"The trainer hung {where}: no sign of life for {seconds / 60:.0f} minutes"
    hint = "look at nvidia-smi and the kernel's log on the training machine, since a GPU or its driver may hang"
    return EngineFailed(f"{text}; {hint}.", is_retryable=True, cause="stalled")
