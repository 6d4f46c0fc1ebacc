"""What became of each claim of a job."""

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import attempts
from jobs.answers import AttemptsAnswer
from jobs.requests import find_job


class AttemptsView(APIView):
    @extend_schema(
        operation_id="listJobAttempts",
        tags=["jobs"],
        responses={200: AttemptsAnswer, 404: OpenApiResponse(description="There is no such job.")},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return the job's attempts, the first one first: when each began and ended, how, and why."""
        job = find_job(job_id)
        found = attempts.public(job)
        return Response({"job_id": job.pk, "attempts": found, "total_count": len(found)})
