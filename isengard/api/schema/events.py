"""The data of server-sent events, for the OpenAPI document. A number that is not known is left out, never null."""

from typing import get_args

from rest_framework import serializers

from jobs.events import ArtifactType, Stage
from jobs.models import TERMINAL, Status

JOB_TYPES = ("training", "generation")
STAGES = (*get_args(Stage), *TERMINAL)
ARTIFACT_TYPES = get_args(ArtifactType)
ARTIFACTS = "Files that became ready and were not told of on this connection yet; after a break some may come again."


class GpuState(serializers.Serializer[None]):
    utilization = serializers.FloatField(help_text="Percent.")
    memory_used = serializers.FloatField(help_text="MiB.")
    memory_total = serializers.FloatField(help_text="MiB.")
    temperature = serializers.FloatField(help_text="Degrees Celsius.")
    power_watts = serializers.FloatField()


class ProgressBar(serializers.Serializer[None]):
    id = serializers.CharField()
    type = serializers.ChoiceField(JOB_TYPES)
    # DRF takes fields out of the class, so this one does not hide the serializer's own `label`.
    label = serializers.CharField()  # type: ignore[assignment]
    value = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent.")
    current = serializers.IntegerField(min_value=0, required=False)
    total = serializers.IntegerField(min_value=1, required=False)


class PublishedArtifact(serializers.Serializer[None]):
    type = serializers.ChoiceField(ARTIFACT_TYPES)
    name = serializers.CharField()
    step = serializers.IntegerField(min_value=0, required=False)


class JobEvent(serializers.Serializer[None]):
    job_id = serializers.CharField()
    job_type = serializers.ChoiceField(JOB_TYPES)
    progress = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent; 100 only when completed.")
    message = serializers.CharField(help_text='While it trains this starts "Step n/m".')
    current_step = serializers.IntegerField(min_value=0)
    total_steps = serializers.IntegerField(min_value=0)
    step = serializers.IntegerField(min_value=0, help_text="The same as current_step.")
    steps_total = serializers.IntegerField(min_value=0, help_text="The same as total_steps.")
    stage = serializers.ChoiceField(STAGES)
    timestamp = serializers.DateTimeField()
    attempt = serializers.IntegerField(min_value=0, help_text="How often the job was started; 0 while it waits.")
    loss = serializers.FloatField(required=False)
    lr = serializers.FloatField(required=False, help_text="Learning rate.")
    iteration_speed = serializers.FloatField(required=False, help_text="Steps per second.")
    eta_seconds = serializers.FloatField(required=False)
    progress_bar = ProgressBar()
    gpu = GpuState(required=False)


class ProgressEvent(JobEvent):
    """The data of `progress`: where the job is."""

    status = serializers.ChoiceField(Status.values)
    artifacts = PublishedArtifact(many=True, required=False, help_text=ARTIFACTS)


class CompleteEvent(JobEvent):
    """The data of `complete`, which is the last event: how the job ended."""

    status = serializers.ChoiceField(TERMINAL)
    artifacts = PublishedArtifact(many=True, required=False, help_text=ARTIFACTS)


class PreviewEvent(serializers.Serializer[None]):
    """The data of `preview`: a small picture of work in progress, for who listens just now."""

    job_id = serializers.CharField()
    job_type = serializers.ChoiceField(("generation",))
    image = serializers.CharField(help_text="A data URL: JPEG or PNG in base64, at most about 70,000 characters.")
    image_index = serializers.IntegerField(
        required=False, min_value=0, max_value=7, help_text="Which of the job's images it shows, counted from 0."
    )
