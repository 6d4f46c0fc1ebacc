"""From the trainer's row and loss log to the progress that people see."""

import re
from collections.abc import Sequence

from jobs.events import Progress, Stage
from training.engines.aitoolkit.job_row import RowState
from training.engines.aitoolkit.loss_log import LossPoint

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

    def __init__(self, *, total: int, start_step: int) -> None:
        self._total = total
        self._step = start_step
        self._stage: Stage = "initializing"
        self._last: Progress | None = None

    @property
    def step(self) -> int:
        return self._step

    def read(self, row: RowState, loss: LossPoint | None) -> Progress | None:
        """Return None when nothing changed."""
        if row.status in ("running", "completed"):
            self._step = max(self._step, min(row.step, self._total))
            self._stage = self._stage_of(row.info)
        progress = self._progress(row, loss)
        if progress == self._last:
            return None
        self._last = progress
        return progress

    def _stage_of(self, info: str) -> Stage:
        stage = next((stage for prefix, stage in _STAGES if info.startswith(prefix)), self._stage)
        is_final_save = stage == "saving_checkpoint" and self._step >= self._total
        return "exporting" if is_final_save else stage

    def _progress(self, row: RowState, loss: LossPoint | None) -> Progress:
        speed = row.iteration_speed
        return Progress(
            stage=self._stage,
            step=self._step,
            total=self._total,
            message=self._message(row.info),
            loss=loss.loss if loss else None,
            learning_rate=loss.learning_rate if loss else None,
            iteration_speed=speed,
            eta_seconds=(self._total - self._step) / speed if speed else None,
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
