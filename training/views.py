"""HTTP of trainings."""

from http import HTTPStatus

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.models import Job, Status
from jobs.params import parse
from jobs.requests import cancel_or_refuse, correlation_id_of, find_job, query_text
from training.answers import TrainingJobAnswer, as_answers
from training.kind import TrainingKind
from training.service import TrainingRequest, start_training


class TrainingsView(GenericAPIView[Job]):
    throttle_scope = "training"
    default_limit = 100

    @extend_schema(
        operation_id="listTrainings",
        tags=["training"],
        parameters=[
            OpenApiParameter("character_id", str, description="Only this character's."),
            OpenApiParameter("status", str, description="Only these states, separated by commas."),
        ],
        responses=TrainingJobAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = Job.objects.filter(kind=TrainingKind.name)
        if "character_id" in request.query_params:
            rows = rows.filter(character_id=query_text(request, "character_id"))
        if "status" in request.query_params:
            rows = rows.filter(status__in=_states(request))
        return self.get_paginated_response(as_answers(list(self.paginate_queryset(rows) or [])))

    @extend_schema(
        operation_id="startTraining",
        tags=["training"],
        request=TrainingRequest,
        responses={201: TrainingJobAnswer},
    )
    def post(self, request: Request) -> Response:
        wanted = parse(TrainingRequest, request.data)
        job = start_training(wanted, correlation_id=correlation_id_of(request))
        return Response(as_answers([job])[0], status=HTTPStatus.CREATED)


def _states(request: Request) -> list[str]:
    states = query_text(request, "status").split(",")
    if not set(states) <= set(Status.values):
        raise ValidationError({"status": f"must be some of {', '.join(Status.values)}, separated by commas."})
    return states


class TrainingView(APIView):
    @extend_schema(operation_id="getTraining", tags=["training"], responses=TrainingJobAnswer)
    def get(self, request: Request, job_id: str) -> Response:
        return Response(as_answers([find_job(job_id, TrainingKind.name)])[0])


class TrainingCancelView(APIView):
    @extend_schema(operation_id="cancelTraining", tags=["training"], request=None, responses=TrainingJobAnswer)
    def post(self, request: Request, job_id: str) -> Response:
        return Response(as_answers([cancel_or_refuse(find_job(job_id, TrainingKind.name))])[0])
