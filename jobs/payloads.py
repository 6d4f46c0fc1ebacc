"""What the stream says of a job: the same from a live run and from its row."""

import math
from typing import Any, get_args

from django.utils import timezone

from jobs import gpus, kinds
from jobs.artifacts import ENGINE_CONFIG
from jobs.events import ArtifactType
from jobs.models import Artifact, Job, Status
from jobs.timestamps import iso_milliseconds

# Of what a run publishes: the rest is for whoever looks into a job afterwards.
ANNOUNCED = frozenset(get_args(ArtifactType)) - {ENGINE_CONFIG}


def _number(value: float | None, digits: int | None = None) -> float | None:
    """Return None also for what JSON cannot say: an infinite loss or a NaN would arrive as null."""
    if value is None or not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits)


def progress_payload(job: Job) -> dict[str, Any]:
    """Return the data of a `progress` event. What is not known is left out: a null would blank the frontend."""
    known = {
        "job_id": job.pk,
        "job_type": job.kind,
        "status": job.status,
        "progress": job.progress,
        "message": message_of(job),
        "current_step": job.current_step,
        "total_steps": job.total_steps,
        "step": job.current_step,
        "steps_total": job.total_steps,
        "stage": job.stage,
        "timestamp": iso_milliseconds(timezone.now()),
        "attempt": job.attempt,
        "loss": _number(job.current_loss, 6),
        "lr": _number(job.learning_rate),
        "iteration_speed": _number(job.iteration_speed, 3),
        "eta_seconds": _number(job.eta_seconds, 1),
        "gpu": gpus.figures_of(job),
    }
    return {key: value for key, value in known.items() if value is not None} | {"progress_bar": progress_bar(job)}


def progress_bar(job: Job) -> dict[str, Any]:
    bar = {"id": job.pk, "type": job.kind, "label": job.stage.replace("_", " "), "value": job.progress}
    return bar | ({"current": job.current_step, "total": job.total_steps} if job.total_steps else {})


def message_of(job: Job) -> str:
    """Return the last thing that was said of the job."""
    if job.is_terminal:
        return end_message(job)
    if job.message:
        return job.message
    if job.status == Status.PENDING or job.status == Status.QUEUED:
        return "Waiting in the queue"
    return f"Step {job.current_step}/{job.total_steps}"


def end_message(job: Job) -> str:
    """Return the last message: "Training complete", "Training failed: <why>", "Training cancelled"
    or why it was."""
    title = kinds.get(job.kind).title
    if job.status == Status.COMPLETED:
        return f"{title} complete"
    if job.status == Status.CANCELLED:
        # A cancel that was nobody's wish of the moment says itself why.
        return job.message if job.failure_cause else f"{title} cancelled"
    return f"{title} failed: {job.error_message}"


def announced_artifacts(job: Job) -> list[dict[str, Any]]:
    """Return what events say of the files that the job has published, the oldest first."""
    return [announced(row) for row in job.artifacts.all() if row.type in ANNOUNCED]


def announced(artifact: Artifact) -> dict[str, Any]:
    step = {} if artifact.step is None else {"step": artifact.step}
    return {"type": artifact.type, "name": artifact.name} | step


def complete_payload(job: Job) -> dict[str, Any]:
    return progress_payload(job) | {"message": end_message(job)}
