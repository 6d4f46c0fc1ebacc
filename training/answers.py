"""A training as the API shows it."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from characters.files import public_path
from jobs import queue, waiting
from jobs.models import Job, Status
from jobs.payloads import message_of
from jobs.resume_points import ResumePoint
from jobs.schedule import start_after_of
from training.params import TrainingParams


# Its types do not say so, but drf-spectacular reads pydantic models too.
@extend_schema_field(TrainingParams)  # type: ignore[arg-type]
class ConfigAnswer(serializers.DictField):
    pass


# For the schema alone: answers themselves are made of rows.
class ResumePointAnswer(serializers.Serializer[None]):
    job_id = serializers.CharField(help_text="Whose checkpoint or LoRA it is.")
    step = serializers.IntegerField(min_value=0)


class TrainingJobAnswer(serializers.Serializer[None]):
    id = serializers.CharField()
    character_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.values)
    config = ConfigAnswer(help_text="Every parameter, as it was used.")
    progress = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent; 100 only when completed.")
    current_step = serializers.IntegerField(min_value=0)
    total_steps = serializers.IntegerField(min_value=0)
    error_message = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    start_after = serializers.DateTimeField(allow_null=True, help_text="When it may start, if that was asked for.")
    deadline_at = serializers.DateTimeField(allow_null=True, help_text="When it is cancelled unless it has ended.")
    output_path = serializers.CharField(allow_null=True, help_text="/data/ and the storage key of the LoRA.")
    base_model = serializers.CharField()
    preset_name = serializers.CharField(allow_null=True)
    iteration_speed = serializers.FloatField(allow_null=True, help_text="Steps per second.")
    eta_seconds = serializers.FloatField(allow_null=True)
    elapsed_seconds = serializers.FloatField(allow_null=True, help_text="Since the first start.")
    current_loss = serializers.FloatField(allow_null=True)
    attempt = serializers.IntegerField(min_value=0)
    queue_position = serializers.IntegerField(
        min_value=1, allow_null=True, help_text="Its place among the waiting jobs of its kind that may start."
    )
    message = serializers.CharField(help_text="What it does, what it waits for, or how it ended.")
    retry_of = serializers.CharField(allow_null=True, help_text="The training that this is a retry of.")
    extends = serializers.CharField(allow_null=True, help_text="The training that this adds steps to.")
    resume_from = ResumePointAnswer(allow_null=True, help_text="Where it begins; null: at the beginning.")


def as_answers(jobs: list[Job]) -> list[dict[str, Any]]:
    """Return the contract's TrainingJob for each, in a number of queries that does not grow with them."""
    positions, reasons = queue.positions(jobs), waiting.messages(jobs)
    return [_as_answer(job, queue_position=positions.get(job.pk), reason=reasons.get(job.pk)) for job in jobs]


def _as_answer(job: Job, *, queue_position: int | None, reason: str | None) -> dict[str, Any]:
    point = ResumePoint.of(job)
    return {
        "id": job.pk,
        "character_id": job.character_id,
        "status": job.status,
        "config": job.config,
        "progress": job.progress,
        "current_step": job.current_step,
        "total_steps": job.total_steps,
        "error_message": job.error_message,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "start_after": start_after_of(job),
        "deadline_at": job.deadline_at,
        "output_path": public_path(job.output_key) if job.output_key else None,
        "base_model": job.order["base_model"],
        "preset_name": job.order["preset_name"],
        "iteration_speed": job.iteration_speed,
        "eta_seconds": job.eta_seconds,
        "elapsed_seconds": job.elapsed_seconds,
        "current_loss": job.current_loss,
        "attempt": job.attempt,
        "queue_position": queue_position,
        "message": reason or message_of(job),
        "retry_of": job.order.get("retry_of"),
        "extends": job.order.get("extends"),
        "resume_from": {"job_id": point.job_id, "step": point.step} if point else None,
    }
