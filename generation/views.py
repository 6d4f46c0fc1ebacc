"""HTTP of generations and their pictures."""

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters.serving import IMMUTABLE, Representation, file_answers
from characters.thumbnails import SIZE_PARAMETER, serve_picture
from generation.answers import GenerationJobAnswer, as_answers
from generation.kind import GenerationKind
from generation.service import GenerationRequest, start_generation
from jobs import idempotency
from jobs.models import Artifact, Job
from jobs.params import parse
from jobs.requests import cancel_or_refuse, correlation_id_of, find_job

UNKNOWN_LORA = OpenApiResponse(description="There is no such LoRA or character.")


class GenerationsView(GenericAPIView[Job]):
    throttle_scope = "generation"
    default_limit = 20

    @extend_schema(operation_id="listGenerations", tags=["generation"], responses=GenerationJobAnswer(many=True))
    def get(self, request: Request) -> Response:
        rows = Job.objects.filter(kind=GenerationKind.name)
        return self.get_paginated_response(as_answers(list(self.paginate_queryset(rows) or [])))

    @extend_schema(
        operation_id="startGeneration",
        tags=["generation"],
        request=GenerationRequest,
        parameters=[idempotency.PARAMETER],
        responses={201: GenerationJobAnswer, 200: GenerationJobAnswer, 404: UNKNOWN_LORA},
    )
    def post(self, request: Request) -> Response:
        """Start a generation, or with an `Idempotency-Key` that was sent before get the one that it started."""
        key = idempotency.key_of(request, endpoint=GenerationKind.name)
        wanted = parse(GenerationRequest, request.data)
        submission = start_generation(wanted, correlation_id=correlation_id_of(request), key=key)
        return Response(as_answers([submission.job])[0], status=submission.http_status)


class GenerationView(APIView):
    @extend_schema(operation_id="getGeneration", tags=["generation"], responses=GenerationJobAnswer)
    def get(self, request: Request, job_id: str) -> Response:
        return Response(as_answers([find_job(job_id, GenerationKind.name)])[0])


class GenerationCancelView(APIView):
    @extend_schema(operation_id="cancelGeneration", tags=["generation"], request=None, responses=GenerationJobAnswer)
    def post(self, request: Request, job_id: str) -> Response:
        return Response(as_answers([cancel_or_refuse(find_job(job_id, GenerationKind.name))])[0])


class OutputView(APIView):
    @extend_schema(
        operation_id="getGenerationOutput",
        tags=["generation"],
        parameters=[SIZE_PARAMETER],
        responses=file_answers("image/png", "image/webp"),
    )
    def get(self, request: Request, filename: str) -> HttpResponseBase:
        """Return a generated image, or a thumbnail of it."""
        output = Artifact.objects.filter(type="output", name=filename).first()
        if output is None:
            raise NotFound(f"Output {filename} not found")
        whole = Representation(content_type="image/png", etag=output.key, filename=output.name, cache_control=IMMUTABLE)
        return serve_picture(output.key, whole, request)
