"""From the trainer's row and loss log to the progress that people see."""

import re
from collections.abc import Sequence
from dataclasses import replace

from jobs.events import Loss, Progress, Stage
from training.engines.aitoolkit.eta import Eta, Plan
from training.engines.aitoolkit.job_row import RowState

# An estimate that alone has changed is told so often: it counts down all the time.
ETA_SECONDS = 2.0
_STAGES: Sequence[tuple[str, Stage]] = (
    ("Starting", "initializing"),
    ("Loading dataset", "preparing_dataset"),
    ("Loading", "loading_model"),
    ("Preparing Model", "loading_model"),
    ("Generating images", "sampling"),
    ("Saving model", "saving_checkpoint"),
    ("Training completed", "exporting"),
    ("Training", "training"),
)
_SAMPLED = re.compile(r"Generating images - (\d+)/(\d+)")


class ProgressReader:
    """Tells what changed since the last look.

    Steps never go back, though a trainer that stops sets its row to its last save.
    """

    def __init__(self, plan: Plan) -> None:
        self._total = plan.total
        self._step = plan.start
        self._stage: Stage = "initializing"
        self._has_exported = False
        self._eta = Eta(plan)
        self._last: Progress | None = None
        self._told_at = float("-inf")

    @property
    def step(self) -> int:
        return self._step

    @property
    def stage(self) -> Stage:
        return self._stage

    def read(self, row: RowState, loss: Loss | None, *, now: float) -> Progress | None:
        """Return None when nothing changed. `now` is in seconds of a clock that does not go back."""
        if row.status in ("running", "completed"):
            self._step = max(self._step, min(row.step, self._total))
            self._stage = self._stage_of(row.info)
            self._eta.note(self._stage, self._step, now=now)
        progress = self._progress(row, loss)
        if self._is_old(progress, now):
            return None
        self._last, self._told_at = progress, now
        return progress

    def _is_old(self, progress: Progress, now: float) -> bool:
        if self._last is None:
            return False
        is_only_later = replace(progress, eta_seconds=None) == replace(self._last, eta_seconds=None)
        is_eta_due = progress.eta_seconds != self._last.eta_seconds and now - self._told_at >= ETA_SECONDS
        return is_only_later and not is_eta_due

    def _stage_of(self, info: str) -> Stage:
        stage = next((stage for prefix, stage in _STAGES if info.startswith(prefix)), self._stage)
        # After the last step the trainer says that it saves and, between that and the last samples, that it trains.
        is_final_save = stage == "saving_checkpoint" and self._step >= self._total
        self._has_exported = self._has_exported or is_final_save
        is_final = is_final_save or (stage == "training" and self._has_exported)
        return "exporting" if is_final else stage

    def _progress(self, row: RowState, loss: Loss | None) -> Progress:
        return Progress(
            stage=self._stage,
            step=self._step,
            total=self._total,
            message=self._message(row.info),
            loss=loss.loss if loss else None,
            learning_rate=loss.learning_rate if loss else None,
            iteration_speed=row.iteration_speed or self._eta.steps_per_second,
            eta_seconds=self._eta.seconds_left(self._step, told_speed=row.iteration_speed),
        )

    def _message(self, info: str) -> str:
        # The frontend reads the step from the beginning, whatever else is said.
        position = f"Step {self._step}/{self._total}"
        if self._stage == "training":
            return position
        detail = _detail(self._stage, info)
        return f"{position}: {detail[0].lower()}{detail[1:]}"


def _detail(stage: Stage, info: str) -> str:
    match = _SAMPLED.fullmatch(info)
    if match is not None:
        return f"Made {match[1]} of {match[2]} sample images"
    if stage == "exporting":
        return "Writing the LoRA"
    return info.strip() or "Starting ai-toolkit"
