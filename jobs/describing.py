"""A job as operators get to see it."""

from datetime import datetime
from typing import Any

from jobs import attempts
from jobs.models import Artifact, Job, Status
from jobs.timestamps import iso_milliseconds

BRIEF = (
    "id",
    "kind",
    "status",
    "character_id",
    "progress",
    "current_step",
    "total_steps",
    "stage",
    "message",
    "error_message",
    "attempt",
    "slot",
    "priority",
    "created_at",
    "started_at",
    "completed_at",
    "elapsed_seconds",
    "eta_seconds",
)
REST = (
    "crashes",
    "run_after",
    "deadline_at",
    "heartbeat_at",
    "holder",
    "iteration_speed",
    "current_loss",
    "learning_rate",
    "correlation_id",
    "output_key",
    "log_key",
    "config",
    "order",
    "facts",
)


def said(job: Job) -> str:
    """Return why it failed, or what it last told. What a completed job told on its way is of no use any more."""
    return job.error_message or ("" if job.status == Status.COMPLETED else job.message)


def brief(job: Job) -> dict[str, Any]:
    return {name: _plain(getattr(job, name)) for name in BRIEF}


def full(job: Job) -> dict[str, Any]:
    rest = {name: _plain(getattr(job, name)) for name in REST}
    artifacts = [_artifact(artifact) for artifact in job.artifacts.all()]
    return brief(job) | rest | {"attempts": plain(attempts.with_machines(job)), "artifacts": artifacts}


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows in JSON's types."""
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _artifact(artifact: Artifact) -> dict[str, Any]:
    names = ("type", "name", "key", "size_bytes", "step", "created_at")
    return {name: _plain(getattr(artifact, name)) for name in names}


def _plain(value: Any) -> Any:
    return iso_milliseconds(value) if isinstance(value, datetime) else value
