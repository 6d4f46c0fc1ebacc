"""HTTP of trainings."""

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import idempotency, schedule
from jobs.filters import OF_CHARACTER, OF_STATUS, states_of
from jobs.models import Job, JobQuerySet, Status
from jobs.params import parse
from jobs.requests import cancel_or_refuse, correlation_id_of, find_job, query_text
from training.answers import TrainingJobAnswer, as_answers
from training.kind import TrainingKind
from training.service import TrainingRequest, start_training

UNKNOWN_CHARACTER = OpenApiResponse(description="There is no such character.")


class TrainingListView(GenericAPIView[Job]):
    default_limit = 100

    def answer_page(self, request: Request, jobs: JobQuerySet) -> Response:
        """Answer with the trainings among `jobs`, newest first."""
        rows = jobs.filter(kind=TrainingKind.name)
        if "character_id" in request.query_params:
            rows = rows.filter(character_id=query_text(request, "character_id"))
        return self.get_paginated_response(as_answers(list(self.paginate_queryset(rows) or [])))


class TrainingsView(TrainingListView):
    throttle_scope = "training"

    @extend_schema(
        operation_id="listTrainings",
        tags=["training"],
        parameters=[OF_CHARACTER, OF_STATUS],
        responses=TrainingJobAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        jobs = Job.objects.all()
        if "status" in request.query_params:
            jobs = jobs.filter(status__in=states_of(request))
        return self.answer_page(request, jobs)

    @extend_schema(
        operation_id="startTraining",
        tags=["training"],
        request=TrainingRequest,
        parameters=[idempotency.PARAMETER, schedule.PARAMETER],
        responses={201: TrainingJobAnswer, 200: TrainingJobAnswer, 404: UNKNOWN_CHARACTER},
    )
    def post(self, request: Request) -> Response:
        """Start a training, or with an `Idempotency-Key` that was sent before get the one that it started."""
        key = idempotency.key_of(request, endpoint=TrainingKind.name)
        wanted = schedule.read(request, parse(TrainingRequest, request.data))
        submission = start_training(wanted, correlation_id=correlation_id_of(request), key=key)
        return Response(as_answers([submission.job])[0], status=submission.http_status)


class SuccessfulTrainingsView(TrainingListView):
    @extend_schema(
        operation_id="listSuccessfulTrainings",
        tags=["training"],
        parameters=[OF_CHARACTER],
        responses=TrainingJobAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Return the completed trainings, newest first."""
        return self.answer_page(request, Job.objects.filter(status=Status.COMPLETED))


class OngoingTrainingsView(TrainingListView):
    @extend_schema(
        operation_id="listOngoingTrainings",
        tags=["training"],
        parameters=[OF_CHARACTER],
        responses=TrainingJobAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Return the trainings that wait or run, newest first."""
        return self.answer_page(request, Job.objects.live())


class TrainingView(APIView):
    @extend_schema(operation_id="getTraining", tags=["training"], responses=TrainingJobAnswer)
    def get(self, request: Request, job_id: str) -> Response:
        return Response(as_answers([find_job(job_id, TrainingKind.name)])[0])


class TrainingCancelView(APIView):
    @extend_schema(operation_id="cancelTraining", tags=["training"], request=None, responses=TrainingJobAnswer)
    def post(self, request: Request, job_id: str) -> Response:
        return Response(as_answers([cancel_or_refuse(find_job(job_id, TrainingKind.name))])[0])
