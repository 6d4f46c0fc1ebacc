"""What an engine said of its progress, in the job's columns."""

import math

from jobs import events
from jobs.models import Job

MAX_MESSAGE_LENGTH = 500


def apply_progress(job: Job, event: events.Progress, *, at_least: int = 0) -> None:
    """Put what the engine said into the job's columns, kept within what the row may hold.

    Between attempts the step goes back to the checkpoint, as is true; within one it does not.
    """
    if event.total is not None:
        job.total_steps = max(0, event.total)
    if event.step is not None:
        job.current_step = min(max(event.step, at_least), job.total_steps)
    if job.total_steps:
        # 100 belongs to `completed` alone.
        job.progress = min(99, job.current_step * 100 // job.total_steps)
    job.stage = event.stage or job.stage
    job.message = (event.message or job.message)[:MAX_MESSAGE_LENGTH]
    job.iteration_speed = _known(event.iteration_speed, job.iteration_speed)
    job.eta_seconds = _known(event.eta_seconds, job.eta_seconds)
    job.current_loss = _known(event.loss, job.current_loss)
    job.learning_rate = _known(event.learning_rate, job.learning_rate)


def _known(value: float | None, before: float | None) -> float | None:
    # A loss of NaN is news for the log; JSON has no word for it.
    return value if value is not None and math.isfinite(value) else before
