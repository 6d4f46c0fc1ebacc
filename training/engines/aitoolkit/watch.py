"""A running trainer, watched: its row, its loss log, its console and its files become events."""

import time
from collections.abc import Iterator

from jobs.events import Controls, Event, Log, Loss, Losses, Tick
from training.engines.aitoolkit.console import ConsoleFile
from training.engines.aitoolkit.health import Health
from training.engines.aitoolkit.job_row import JobRow
from training.engines.aitoolkit.limits import Limits
from training.engines.aitoolkit.loss_log import LossLog
from training.engines.aitoolkit.on_request import Requests
from training.engines.aitoolkit.outputs import Outputs
from training.engines.aitoolkit.progress import ProgressReader
from training.engines.aitoolkit.workspace import Workspace


class Watch:
    def __init__(
        self, workspace: Workspace, row: JobRow, progress: ProgressReader, controls: Controls, *, health: Health
    ) -> None:
        """Made before the trainer starts, so that it can tell its files from those of earlier attempts."""
        self._loss_log = LossLog(workspace.loss_log)
        self._newest_loss: Loss | None = None
        self._row = row
        self._outputs = Outputs(workspace)
        self._requests = Requests(row, self._outputs)
        self._controls = controls
        self._progress = progress
        self._console = ConsoleFile(workspace.console)
        self._start_step = progress.step
        self._health = health

    @property
    def console_tail(self) -> list[str]:
        return self._console.tail

    @property
    def unsaved_steps(self) -> int:
        """How many steps a stop would cost now."""
        saved = self._outputs.last_saved_step
        return max(0, self._progress.step - (self._start_step if saved is None else saved))

    def look(self) -> Iterator[Event]:
        """Yield what is new, or a Tick."""
        is_quiet = True
        for event in self._look():
            is_quiet = False
            yield event
        if is_quiet:
            yield Tick()

    def _look(self) -> Iterator[Event]:
        yield from self._requests.pass_on(self._controls)
        yield from self._news(self._console.read(now=time.monotonic()), self._loss_log.read())

    def look_last(self) -> Iterator[Event]:
        """Yield the rest once the trainer has ended."""
        yield from self._news(self._console.read_rest(now=time.monotonic()), self._loss_log.read_rest())

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
        """Raises EngineFailed when the trainer neither printed nor moved on for too long, or began elsewhere."""
        row, stage = self._row.read(), self._progress.stage
        self._health.refuse_wrong_start(row, stage)
        self._health.refuse_stall(row, self._console.size_read, stage=stage, limits=limits)

    def _news(self, logs: list[Log], points: list[Loss]) -> Iterator[Event]:
        """`points` were read before the row: none of them then lies ahead of the step it is told with."""
        yield from logs
        yield from self._health.listen(logs)
        row = self._row.read()
        progress = self._progress.read(row, self._note(points), now=time.monotonic())
        if points:
            # Before the checkpoints: a run that goes on from one of these has the curve up to there.
            yield Losses(points=tuple(points))
        yield from self._outputs.new()
        if progress is not None:
            yield progress
        yield from self._requests.done(row)
        yield from self._health.measure(points)

    def _note(self, points: list[Loss]) -> Loss | None:
        if points:
            self._newest_loss = points[-1]
        return self._newest_loss
