"""A generation as the API shows it."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from generation.params import GenerationParams
from jobs import queue
from jobs.models import Artifact, Job, Status
from jobs.outputs import outputs_of
from jobs.payloads import message_of


# Its types do not say so, but drf-spectacular reads pydantic models too.
@extend_schema_field(GenerationParams)  # type: ignore[arg-type]
class ConfigAnswer(serializers.DictField):
    pass


# For the schema alone: answers themselves are made of rows.
class GenerationJobAnswer(serializers.Serializer[None]):
    id = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.values)
    config = ConfigAnswer(help_text="Every parameter, as it was used.")
    progress = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent; 100 only when completed.")
    error_message = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    count = serializers.IntegerField(min_value=1)
    output_paths = serializers.ListField(child=serializers.CharField(), help_text="File names, as they become ready.")
    seeds = serializers.ListField(child=serializers.IntegerField(), help_text="One beside each of output_paths.")
    attempt = serializers.IntegerField(min_value=0)
    queue_position = serializers.IntegerField(min_value=1, allow_null=True, help_text="Null unless waiting.")
    message = serializers.CharField()


def as_answers(jobs: list[Job]) -> list[dict[str, Any]]:
    """Return the contract's GenerationJob for each, in a number of queries that does not grow with them."""
    positions = queue.positions(jobs)
    outputs = outputs_of(jobs)
    return [_as_answer(job, outputs.get(job.pk, []), positions.get(job.pk)) for job in jobs]


def _as_answer(job: Job, outputs: list[Artifact], queue_position: int | None) -> dict[str, Any]:
    return {
        "id": job.pk,
        "status": job.status,
        "config": job.config,
        "progress": job.progress,
        "error_message": job.error_message,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "count": job.order["count"],
        "output_paths": [output.name for output in outputs],
        "seeds": [output.details["seed"] for output in outputs],
        "attempt": job.attempt,
        "queue_position": queue_position,
        "message": message_of(job),
    }
