"""A job's log: as a file, and page by page."""

from itertools import chain

from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters.queries import whole_number
from jobs import log_search
from jobs.answers import LogPageAnswer
from jobs.log_search import LEVELS, LogFilter
from jobs.models import Job
from jobs.requests import MAX_QUERY_LENGTH, find_job, query_text

DEFAULT_LINES = 100
MAX_LINES = 1000
MAX_OFFSET = 2**31 - 1


class JobLogsView(APIView):
    @extend_schema(
        operation_id="getJobLogs",
        tags=["jobs"],
        responses={
            (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description="One JSON object a line, oldest first."),
            404: OpenApiResponse(description="Job logs not found"),
        },
    )
    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        """Return the job's log."""
        job = Job.objects.filter(pk=job_id).first()
        if job is None:
            raise NotFound("Job logs not found")
        first, rest = log_search.begin(job)
        if first is None:
            raise NotFound("Job logs not found")
        return StreamingHttpResponse(chain([first], rest), content_type="text/plain; charset=utf-8")


class LogPageView(APIView):
    @extend_schema(
        operation_id="viewJobLogs",
        tags=["jobs"],
        parameters=[
            OpenApiParameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LINES, "default": DEFAULT_LINES},
                description="At most this many of the matching lines.",
            ),
            OpenApiParameter(
                "offset",
                {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
                description="Leave out the first matching lines.",
            ),
            OpenApiParameter("level", str, enum=LEVELS, description="Only lines of this level, in any case."),
            OpenApiParameter(
                "event",
                {"type": "string", "maxLength": MAX_QUERY_LENGTH},
                description="Only this event and those below it: `artifact` also finds `artifact.sample`.",
            ),
            OpenApiParameter(
                "search",
                {"type": "string", "maxLength": MAX_QUERY_LENGTH},
                description="Only lines with this text in the message or a field, in any case.",
            ),
        ],
        responses={200: LogPageAnswer, 404: OpenApiResponse(description="There is no such job.")},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return a page of the lines that match, oldest first."""
        offset = whole_number(request, "offset", default=0, lowest=0, highest=MAX_OFFSET)
        limit = whole_number(request, "limit", default=DEFAULT_LINES, lowest=1, highest=MAX_LINES)
        wanted = _filter(request)
        job = find_job(job_id)
        page = log_search.log_page(job, wanted, offset=offset, limit=limit)
        return Response(
            {
                "job_id": job.pk,
                "entries": page.entries,
                "total_lines": page.total,
                "has_more": offset + len(page.entries) < page.total,
            }
        )


def _filter(request: Request) -> LogFilter:
    given = {name: query_text(request, name) for name in ("event", "search") if name in request.query_params}
    level = _level(request) if "level" in request.query_params else None
    return LogFilter(level=level, event=given.get("event"), text=given.get("search"))


def _level(request: Request) -> str:
    level = query_text(request, "level").upper()
    if level not in LEVELS:
        raise ValidationError({"level": f"must be one of {', '.join(LEVELS)}."})
    return level
