"""A generation as the API shows it."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from generation.params import GenerationParams
from jobs import queue, waiting
from jobs.models import Artifact, Job, Status
from jobs.outputs import outputs_of
from jobs.payloads import message_of
from jobs.schedule import start_after_of

THUMBNAIL_SIDE_PIXELS = 320


# Its types do not say so, but drf-spectacular reads pydantic models too.
@extend_schema_field(GenerationParams)  # type: ignore[arg-type]
class ConfigAnswer(serializers.DictField):
    pass


# For the schema alone: answers themselves are made of rows.
class UsedLoraAnswer(serializers.Serializer[None]):
    id = serializers.CharField()
    name = serializers.CharField()
    version = serializers.IntegerField(min_value=1, allow_null=True, help_text="Null for an uploaded one.")
    sha256 = serializers.CharField(help_text="Of the file that was used.")
    strength = serializers.FloatField(min_value=0, max_value=2)


class GeneratedImageAnswer(serializers.Serializer[None]):
    index = serializers.IntegerField(min_value=0)
    filename = serializers.CharField()
    url = serializers.CharField()
    thumbnail_url = serializers.CharField()
    width = serializers.IntegerField(min_value=1, allow_null=True, help_text="Pixels; null for images of old versions.")
    height = serializers.IntegerField(min_value=1, allow_null=True)
    size_bytes = serializers.IntegerField(min_value=0)
    sha256 = serializers.CharField(allow_null=True, help_text="Of the file.")
    seed = serializers.IntegerField(min_value=0)
    prompt = serializers.CharField(help_text="With every choice in it made, as the model read it.")
    negative_prompt = serializers.CharField(allow_blank=True)
    loras = UsedLoraAnswer(many=True, help_text="In the order in which they acted.")
    seconds = serializers.FloatField(min_value=0, allow_null=True, help_text="For which the engine worked on it.")
    created_at = serializers.DateTimeField()


class GenerationJobAnswer(serializers.Serializer[None]):
    id = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.values)
    config = ConfigAnswer(help_text="Every parameter, as it was used.")
    progress = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent; 100 only when completed.")
    error_message = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    start_after = serializers.DateTimeField(allow_null=True, help_text="When it may start, if that was asked for.")
    deadline_at = serializers.DateTimeField(allow_null=True, help_text="When it is cancelled unless it has ended.")
    count = serializers.IntegerField(min_value=1)
    output_paths = serializers.ListField(child=serializers.CharField(), help_text="File names, as they become ready.")
    seeds = serializers.ListField(child=serializers.IntegerField(), help_text="One beside each of output_paths.")
    images = GeneratedImageAnswer(many=True, help_text="What is known of each of output_paths.")
    preset_name = serializers.CharField(allow_null=True, help_text="As it was sent.")
    rerun_of = serializers.CharField(allow_null=True, help_text="The generation that this one makes again.")
    attempt = serializers.IntegerField(min_value=0)
    queue_position = serializers.IntegerField(
        min_value=1, allow_null=True, help_text="Its place among the waiting jobs of its kind that may start."
    )
    message = serializers.CharField(help_text="What it does, what it waits for, or how it ended.")


def as_answers(jobs: list[Job]) -> list[dict[str, Any]]:
    """Return the contract's GenerationJob for each, in a number of queries that does not grow with them."""
    positions, reasons = queue.positions(jobs), waiting.messages(jobs)
    outputs = outputs_of(jobs)
    return [
        _as_answer(job, outputs.get(job.pk, []), queue_position=positions.get(job.pk), reason=reasons.get(job.pk))
        for job in jobs
    ]


def _as_answer(job: Job, outputs: list[Artifact], *, queue_position: int | None, reason: str | None) -> dict[str, Any]:
    return {
        "id": job.pk,
        "status": job.status,
        "config": job.config,
        "progress": job.progress,
        "error_message": job.error_message,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "start_after": start_after_of(job),
        "deadline_at": job.deadline_at,
        "count": job.order["count"],
        "output_paths": [output.name for output in outputs],
        "seeds": [output.details["seed"] for output in outputs],
        "images": [_image(job, output) for output in outputs],
        "preset_name": job.order.get("preset_name"),
        "rerun_of": job.order.get("rerun_of"),
        "attempt": job.attempt,
        "queue_position": queue_position,
        "message": reason or message_of(job),
    }


def _image(job: Job, output: Artifact) -> dict[str, Any]:
    details, url = output.details, f"/api/generation/output/{output.name}"
    return {
        "index": details["index"],
        "filename": output.name,
        "url": url,
        "thumbnail_url": f"{url}?size={THUMBNAIL_SIDE_PIXELS}",
        "width": details.get("width"),
        "height": details.get("height"),
        "size_bytes": output.size_bytes,
        "sha256": details.get("sha256"),
        "seed": details["seed"],
        "prompt": details.get("prompt", job.config["prompt"]),
        "negative_prompt": details.get("negative_prompt", job.config.get("negative_prompt", "")),
        "loras": details.get("loras", []),
        "seconds": details.get("seconds"),
        "created_at": output.created_at,
    }
