"""The files that a job left: lists, the files themselves, and the debug bundle."""

from pathlib import PurePath

from django.http import FileResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters.serving import SAFETY_HEADERS, Representation, file_answers, serve
from characters.thumbnails import PICTURE_ANSWERS, PICTURE_PARAMETERS, serve_picture
from jobs import artifacts
from jobs.answers import ArtifactsAnswer, CheckpointsAnswer
from jobs.bundle import open_bundle
from jobs.requests import find_job

TAGS = ["jobs"]
NOT_FOUND = OpenApiResponse(description="There is no such job or file.")
PICTURE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
# Safetensors has no registered media type.
SAFETENSORS_TYPE = "application/octet-stream"


class ArtifactsView(APIView):
    @extend_schema(operation_id="listJobArtifacts", tags=TAGS, responses={200: ArtifactsAnswer, 404: NOT_FOUND})
    def get(self, request: Request, job_id: str) -> Response:
        """List the job's pictures, checkpoints, trained LoRA and archived log, newest first."""
        job = find_job(job_id)
        files = [file.as_answer() for file in artifacts.job_files(job)]
        return Response({"job_id": job.pk, "artifacts": files, "total_count": len(files)})


class SampleView(APIView):
    @extend_schema(
        operation_id="getJobSample",
        tags=TAGS,
        parameters=PICTURE_PARAMETERS,
        responses={**PICTURE_ANSWERS, 404: NOT_FOUND},
    )
    def get(self, request: Request, job_id: str, filename: str) -> HttpResponseBase:
        """Return a picture that the job made, or a thumbnail of it."""
        picture = artifacts.find_picture(find_job(job_id), filename)
        if picture is None:
            raise NotFound(f"Sample {filename} not found")
        content_type = PICTURE_TYPES.get(PurePath(picture.name).suffix, "application/octet-stream")
        # Not for ever: a later attempt may make another picture of the same name.
        whole = Representation(content_type=content_type, etag=picture.key, filename=picture.name)
        return serve_picture(picture.key, whole, request)


class ModelView(APIView):
    @extend_schema(
        operation_id="downloadJobModel",
        tags=TAGS,
        responses={**file_answers(SAFETENSORS_TYPE), 404: NOT_FOUND},
    )
    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        """Return the LoRA that the job trained."""
        lora = artifacts.model_of(find_job(job_id))
        if lora is None:
            raise NotFound(f"Job {job_id} has no model")
        return serve(
            lora.key,
            content_type=SAFETENSORS_TYPE,
            etag=lora.sha256,
            filename=artifacts.model_name(lora),
            request=request,
            is_attachment=True,
        )


class CheckpointsView(APIView):
    @extend_schema(operation_id="listJobCheckpoints", tags=TAGS, responses={200: CheckpointsAnswer, 404: NOT_FOUND})
    def get(self, request: Request, job_id: str) -> Response:
        """List the job's checkpoints, newest first."""
        job = find_job(job_id)
        files = [file.as_answer() for file in artifacts.checkpoint_files(job)]
        for file in files:
            del file["type"]
        return Response({"job_id": job.pk, "checkpoints": files, "total_count": len(files)})


class CheckpointFileView(APIView):
    @extend_schema(
        operation_id="downloadJobCheckpoint",
        tags=TAGS,
        responses={**file_answers(SAFETENSORS_TYPE), 404: NOT_FOUND},
    )
    def get(self, request: Request, job_id: str, filename: str) -> HttpResponseBase:
        """Return a checkpoint."""
        checkpoint = artifacts.find_checkpoint(find_job(job_id), filename)
        if checkpoint is None:
            raise NotFound(f"Checkpoint {filename} not found")
        return serve(
            checkpoint.key,
            content_type=SAFETENSORS_TYPE,
            etag=checkpoint.key,
            filename=checkpoint.name,
            request=request,
            is_attachment=True,
        )


class DebugBundleView(APIView):
    @extend_schema(
        operation_id="downloadJobDebugBundle",
        tags=TAGS,
        responses={(200, "application/zip"): OpenApiTypes.BINARY, 404: NOT_FOUND},
    )
    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        """Return a ZIP file with the job, its log, its newest pictures, what its engine was given, and versions."""
        job = find_job(job_id)
        return FileResponse(
            open_bundle(job),
            as_attachment=True,
            filename=f"{job.pk}-debug.zip",
            content_type="application/zip",
            headers={**SAFETY_HEADERS, "Cache-Control": "no-store"},
        )
