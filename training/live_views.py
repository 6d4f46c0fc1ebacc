"""HTTP of what a running trainer tells and takes: its loss curve, and saves and samples on request."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters.queries import whole_number
from jobs import instructions, losses
from jobs.events import Loss
from jobs.models import Job
from jobs.requests import find_job
from training.answers import TrainingJobAnswer, as_answers
from training.curve import downsample
from training.kind import TrainingKind

DEFAULT_POINTS = 500
MIN_POINTS, MAX_POINTS = 2, 5000
TAGS = ["training"]
UNKNOWN_TRAINING = OpenApiResponse(description="There is no such training.")
NOT_RUNNING = OpenApiResponse(description="The training does not run.")


class LossPointAnswer(serializers.Serializer[None]):
    step = serializers.IntegerField(min_value=1, help_text="Completed steps.")
    loss = serializers.FloatField(allow_null=True, help_text="Null where it was no finite number: it diverged.")
    learning_rate = serializers.FloatField(allow_null=True)


class LossCurveAnswer(serializers.Serializer[None]):
    job_id = serializers.CharField()
    total_points = serializers.IntegerField(min_value=0, help_text="Measured steps, all of them.")
    null_points = serializers.IntegerField(min_value=0, help_text="Those of them whose loss is null.")
    points = LossPointAnswer(
        many=True,
        help_text="By step. Where there are more than asked for: the first, the last, and the lowest, the highest "
        "and a null of each stretch in between. None is made up or averaged.",
    )


class TrainingLossView(APIView):
    @extend_schema(
        operation_id="getTrainingLoss",
        tags=TAGS,
        parameters=[
            OpenApiParameter(
                "points",
                {"type": "integer", "minimum": MIN_POINTS, "maximum": MAX_POINTS, "default": DEFAULT_POINTS},
                description="At most this many.",
            )
        ],
        responses={200: LossCurveAnswer, 404: UNKNOWN_TRAINING},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return the loss curve, of a running training up to about a second ago."""
        limit = whole_number(request, "points", default=DEFAULT_POINTS, lowest=MIN_POINTS, highest=MAX_POINTS)
        job = find_job(job_id, TrainingKind.name)
        try:
            points = losses.points_of(job)
        except FileNotFoundError as exc:
            raise NotFound(f"The loss curve of {job_id} is not in storage any more") from exc
        return Response(_curve(job, points, limit))


def _curve(job: Job, points: list[Loss], limit: int) -> dict[str, Any]:
    return {
        "job_id": job.pk,
        "total_points": len(points),
        "null_points": sum(point.loss is None for point in points),
        "points": [
            {"step": point.step, "loss": point.loss, "learning_rate": point.learning_rate}
            for point in downsample(points, limit)
        ],
    }


class TrainingSaveView(APIView):
    @extend_schema(
        operation_id="saveTraining",
        tags=TAGS,
        request=None,
        responses={202: TrainingJobAnswer, 400: NOT_RUNNING, 404: UNKNOWN_TRAINING},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Ask a running training for a checkpoint at its next step; asking again before that changes nothing."""
        return _instruct(job_id, "save")


class TrainingSampleView(APIView):
    @extend_schema(
        operation_id="sampleTraining",
        tags=TAGS,
        request=None,
        responses={202: TrainingJobAnswer, 400: NOT_RUNNING, 404: UNKNOWN_TRAINING},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Ask a running training for samples at its next step; asking again before that changes nothing."""
        return _instruct(job_id, "sample")


def _instruct(job_id: str, verb: instructions.Verb) -> Response:
    job = find_job(job_id, TrainingKind.name)
    try:
        asked = instructions.give(job, verb)
    except instructions.NotRunning as exc:
        raise ValidationError(str(exc)) from exc
    return Response(as_answers([asked])[0], status=202)
