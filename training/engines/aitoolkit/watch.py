"""A running trainer, watched: its row, its loss log, its console and its files become events."""

import time
from collections.abc import Iterator

from jobs.errors import EngineFailed
from jobs.events import Event, Log, Tick
from training.engines.aitoolkit.console import ConsoleFile
from training.engines.aitoolkit.job_row import JobRow, RowState
from training.engines.aitoolkit.limits import Limits
from training.engines.aitoolkit.loss_log import LossPoint, newest_loss
from training.engines.aitoolkit.outputs import Outputs
from training.engines.aitoolkit.progress import ProgressReader
from training.engines.aitoolkit.workspace import Workspace


class Watch:
    def __init__(self, workspace: Workspace, row: JobRow, outputs: Outputs, progress: ProgressReader) -> None:
        self._loss_log = workspace.loss_log
        self._row = row
        self._outputs = outputs
        self._progress = progress
        self._console = ConsoleFile(workspace.console)
        self._start_step = progress.step
        self._has_diverged = False
        self._last_life: tuple[RowState, int] | None = None
        self._alive_at = time.monotonic()

    @property
    def console_tail(self) -> list[str]:
        return self._console.tail

    @property
    def has_unsaved_steps(self) -> bool:
        saved = self._outputs.last_saved_step
        return self._progress.step > (self._start_step if saved is None else saved)

    def look(self) -> Iterator[Event]:
        """Yield what is new, or a Tick."""
        is_quiet = True
        for event in self._news(self._console.read(now=time.monotonic())):
            is_quiet = False
            yield event
        if is_quiet:
            yield Tick()

    def look_last(self) -> Iterator[Event]:
        """Yield the rest once the trainer has ended."""
        yield from self._news(self._console.read_rest(now=time.monotonic()))

    def ask_to_save(self) -> int:
        """Return the step that the next checkpoint has to reach."""
        self._row.ask_to_save()
        return self._progress.step

    def is_saved(self, step: int) -> bool:
        """Whether `step` is saved and told, and the trainer is done with saving: the optimizer's state comes last."""
        row = self._row.read()
        saved = self._outputs.last_saved_step
        is_idle = not row.is_save_pending and not row.info.startswith("Saving")
        return is_idle and saved is not None and saved >= step

    def refuse_stall(self, limits: Limits) -> None:
        """Raises EngineFailed when the trainer neither printed nor moved on for too long."""
        life = (self._row.read(), self._console.size_read)
        if life != self._last_life:
            self._last_life, self._alive_at = life, time.monotonic()
        elif time.monotonic() - self._alive_at > limits.stall_seconds:
            minutes = limits.stall_seconds / 60
            raise EngineFailed(f"The trainer hung: no sign of life for {minutes:.0f} minutes.", is_retryable=True)

    def _news(self, logs: list[Log]) -> Iterator[Event]:
        yield from logs
        # The loss is read before the row: a point then never lies ahead of the step it is told with.
        loss = newest_loss(self._loss_log)
        progress = self._progress.read(self._row.read(), loss)
        yield from self._outputs.new()
        if progress is not None:
            yield progress
        yield from self._warn_of_divergence(loss)

    def _warn_of_divergence(self, loss: LossPoint | None) -> Iterator[Log]:
        if loss is None or not loss.has_diverged or self._has_diverged:
            return
        self._has_diverged = True
        text = f"The loss is no number any more since step {loss.step}: the training diverged; lower the learning rate."
        yield Log(message=text, level="WARNING", event="training.diverged")
