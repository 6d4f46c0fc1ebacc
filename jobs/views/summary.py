"""A job at a glance."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import artifacts, log_search
from jobs.answers import SummaryAnswer
from jobs.models import Job
from jobs.requests import find_job


class SummaryView(APIView):
    @extend_schema(
        operation_id="getJobSummary",
        tags=["jobs"],
        responses={200: SummaryAnswer, 404: OpenApiResponse(description="There is no such job.")},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return where the job is, what it left, and what first went wrong."""
        return Response(_summary(find_job(job_id)))


def _summary(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.pk,
        "status": job.status,
        "progress": job.progress,
        "current_step": job.current_step,
        "total_steps": job.total_steps,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "artifacts": {
            "samples": artifacts.picture_count(job),
            "has_log": log_search.has_log(job),
            "has_model": artifacts.model_of(job) is not None,
        },
        "first_error": log_search.first_error(job),
        "error_message": job.error_message,
    }
