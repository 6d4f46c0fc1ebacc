"""HTTP of trainings that continue others."""

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import idempotency, schedule
from jobs.params import parse
from jobs.requests import correlation_id_of, find_job
from training.again import ExtensionRequest, RetryRequest, extend_training, retry_training
from training.answers import TrainingJobAnswer, as_answers
from training.kind import TrainingKind

GONE = OpenApiResponse(description="There is no such training, or its character was deleted.")
ANSWERS = {201: TrainingJobAnswer, 200: TrainingJobAnswer, 404: GONE}


class TrainingRetryView(APIView):
    throttle_scope = "training"

    @extend_schema(
        operation_id="retryTraining",
        tags=["training"],
        request=RetryRequest,
        parameters=[idempotency.PARAMETER, schedule.PARAMETER],
        responses=ANSWERS,
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Run a failed or cancelled training again, as a new job that goes on from its newest checkpoint.

        `resume_from` of the answer says where it begins. Without a body: from the checkpoint where that is right.
        """
        key = idempotency.key_of(request, endpoint=f"{TrainingKind.name}-retry")
        job = find_job(job_id, TrainingKind.name)
        wanted = schedule.read(request, parse(RetryRequest, request.data))
        submission = retry_training(job, wanted, correlation_id=correlation_id_of(request), key=key)
        return Response(as_answers([submission.job])[0], status=submission.http_status)


class TrainingExtensionView(APIView):
    throttle_scope = "training"

    @extend_schema(
        operation_id="extendTraining",
        tags=["training"],
        request=ExtensionRequest,
        parameters=[idempotency.PARAMETER, schedule.PARAMETER],
        responses=ANSWERS,
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Give a completed training more steps, as a new job that goes on from its LoRA and makes the next version."""
        key = idempotency.key_of(request, endpoint=f"{TrainingKind.name}-extension")
        job = find_job(job_id, TrainingKind.name)
        wanted = schedule.read(request, parse(ExtensionRequest, request.data))
        submission = extend_training(job, wanted, correlation_id=correlation_id_of(request), key=key)
        return Response(as_answers([submission.job])[0], status=submission.http_status)
