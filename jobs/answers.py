"""What the endpoints of jobs of any kind answer, described for the schema: answers themselves are made of rows."""

from rest_framework import serializers

from jobs.log_search import LEVELS
from jobs.models import Attempt, Status


class LogEntryAnswer(serializers.Serializer[None]):
    timestamp = serializers.DateTimeField()
    level = serializers.ChoiceField(choices=LEVELS)
    message = serializers.CharField()
    event = serializers.CharField(help_text="A dotted name, such as artifact.sample.")
    fields = serializers.DictField(help_text="What belongs to the event.")  # type: ignore[assignment]


class LogPageAnswer(serializers.Serializer[None]):
    job_id = serializers.CharField()
    entries = LogEntryAnswer(many=True)
    total_lines = serializers.IntegerField(min_value=0, help_text="Lines that match, on all pages.")
    has_more = serializers.BooleanField()


class CheckpointAnswer(serializers.Serializer[None]):
    name = serializers.CharField()
    path = serializers.CharField(help_text="/data/ and the storage key.")
    size_bytes = serializers.IntegerField(min_value=0)
    created_at = serializers.DateTimeField()
    step = serializers.IntegerField(min_value=0, allow_null=True, help_text="Null where it belongs to no step.")
    url = serializers.CharField(help_text="Where the file is served.")


class CheckpointsAnswer(serializers.Serializer[None]):
    job_id = serializers.CharField()
    checkpoints = CheckpointAnswer(many=True)
    total_count = serializers.IntegerField(min_value=0)


class ArtifactAnswer(CheckpointAnswer):
    type = serializers.ChoiceField(
        choices=["sample", "checkpoint", "model", "log"],
        help_text="A generation's pictures are samples. The log is listed once it is archived.",
    )


class ArtifactsAnswer(serializers.Serializer[None]):
    job_id = serializers.CharField()
    artifacts = ArtifactAnswer(many=True)
    total_count = serializers.IntegerField(min_value=0)


class AttemptAnswer(serializers.Serializer[None]):
    number = serializers.IntegerField(min_value=1)
    place = serializers.IntegerField(
        min_value=1, help_text="The places where the job ran, numbered in the order in which it came there."
    )
    claimed_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True, help_text="Null until nothing of its engine is left.")
    from_step = serializers.IntegerField(
        min_value=0, allow_null=True, help_text="The step it went on from, where its engine told."
    )
    outcome = serializers.ChoiceField(
        choices=Attempt.Outcome.values,
        allow_null=True,
        help_text="given_back: by a drain, an upgrade, a window or an absent engine, which costs nothing; crashed: "
        "of these a job has three without a new checkpoint in between. Null while it lasts.",
    )
    reason = serializers.CharField(allow_null=True, help_text="Why it ended, in words.")


class AttemptsAnswer(serializers.Serializer[None]):
    job_id = serializers.CharField()
    attempts = AttemptAnswer(many=True)
    total_count = serializers.IntegerField(min_value=0)


class ArtifactCountsAnswer(serializers.Serializer[None]):
    samples = serializers.IntegerField(min_value=0)
    has_log = serializers.BooleanField()
    has_model = serializers.BooleanField()


class SummaryAnswer(serializers.Serializer[None]):
    job_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.values)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    current_step = serializers.IntegerField(min_value=0)
    total_steps = serializers.IntegerField(min_value=0)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    artifacts = ArtifactCountsAnswer()
    first_error = serializers.CharField(allow_null=True, help_text="The first line of level ERROR in the log.")
    error_message = serializers.CharField(allow_null=True)
