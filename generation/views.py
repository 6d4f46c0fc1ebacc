"""HTTP of generations and their pictures."""

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters.serving import IMMUTABLE, Representation
from characters.thumbnails import PICTURE_ANSWERS, PICTURE_PARAMETERS, serve_picture
from generation import presets
from generation.again import RerunRequest, rerun_generation
from generation.answers import GenerationJobAnswer, as_answers
from generation.kind import GenerationKind
from generation.listing import FILTERS, narrowed
from generation.service import GenerationRequest, start_generation
from jobs import idempotency, schedule
from jobs.models import Artifact, Job
from jobs.params import parse
from jobs.requests import cancel_or_refuse, correlation_id_of, find_job

UNKNOWN_LORA = OpenApiResponse(description="There is no such LoRA or character.")
GONE = OpenApiResponse(description="There is no such generation, or a LoRA or an image that it used was deleted.")


class GenerationsView(GenericAPIView[Job]):
    throttle_scope = "generation"
    default_limit = 20

    @extend_schema(
        operation_id="listGenerations",
        tags=["generation"],
        parameters=FILTERS,
        responses=GenerationJobAnswer(many=True),
    )
    def get(self, request: Request) -> Response:
        rows = narrowed(Job.objects.filter(kind=GenerationKind.name), request)
        return self.get_paginated_response(as_answers(list(self.paginate_queryset(rows) or [])))

    @extend_schema(
        operation_id="startGeneration",
        tags=["generation"],
        request=GenerationRequest,
        parameters=[idempotency.PARAMETER, schedule.PARAMETER],
        responses={201: GenerationJobAnswer, 200: GenerationJobAnswer, 404: UNKNOWN_LORA},
    )
    def post(self, request: Request) -> Response:
        """Start a generation, or with an `Idempotency-Key` that was sent before get the one that it started."""
        key = idempotency.key_of(request, endpoint=GenerationKind.name)
        wanted = schedule.read(request, parse(GenerationRequest, presets.applied(request.data)))
        submission = start_generation(wanted, correlation_id=correlation_id_of(request), key=key)
        return Response(as_answers([submission.job])[0], status=submission.http_status)


class GenerationView(APIView):
    @extend_schema(operation_id="getGeneration", tags=["generation"], responses=GenerationJobAnswer)
    def get(self, request: Request, job_id: str) -> Response:
        return Response(as_answers([find_job(job_id, GenerationKind.name)])[0])


class GenerationRerunView(APIView):
    throttle_scope = "generation"

    @extend_schema(
        operation_id="rerunGeneration",
        tags=["generation"],
        request=RerunRequest,
        parameters=[idempotency.PARAMETER, schedule.PARAMETER],
        responses={201: GenerationJobAnswer, 200: GenerationJobAnswer, 404: GONE},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Make the same pictures again as a new job, or others that differ from them in what `config` says.

        Seeds, LoRA versions, given images and the choices in the prompts are those that the job used. Without a body
        everything is as it was.
        """
        key = idempotency.key_of(request, endpoint=f"{GenerationKind.name}-rerun")
        job = find_job(job_id, GenerationKind.name)
        wanted = schedule.read(request, parse(RerunRequest, request.data))
        submission = rerun_generation(job, wanted, correlation_id=correlation_id_of(request), key=key)
        return Response(as_answers([submission.job])[0], status=submission.http_status)


class GenerationCancelView(APIView):
    @extend_schema(operation_id="cancelGeneration", tags=["generation"], request=None, responses=GenerationJobAnswer)
    def post(self, request: Request, job_id: str) -> Response:
        return Response(as_answers([cancel_or_refuse(find_job(job_id, GenerationKind.name))])[0])


class OutputView(APIView):
    @extend_schema(
        operation_id="getGenerationOutput",
        tags=["generation"],
        parameters=PICTURE_PARAMETERS,
        responses=PICTURE_ANSWERS,
    )
    def get(self, request: Request, filename: str) -> HttpResponseBase:
        """Return a generated image as the PNG it is, or a copy of it: smaller, or in another format."""
        output = Artifact.objects.filter(type="output", name=filename).first()
        if output is None:
            raise NotFound(f"Output {filename} not found")
        whole = Representation(content_type="image/png", etag=output.key, filename=output.name, cache_control=IMMUTABLE)
        return serve_picture(output.key, whole, request)
