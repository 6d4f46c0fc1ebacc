"""HTTP of jobs of any kind: the stream and the log."""

from http import HTTPStatus
from itertools import chain

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs import log
from jobs.models import Job
from jobs.progress.event_id import EventId
from jobs.streams import JobStream, read_job

STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


@csrf_exempt
async def stream_job(request: HttpRequest, job_id: str, kind: str | None = None) -> HttpResponseBase:
    """Answer the job's events as `text/event-stream`. 204 tells an EventSource that has seen `complete` to stop."""
    if request.method != "GET":
        return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})
    try:
        job = await read_job(job_id)
    except DatabaseError:
        return HttpResponse(status=HTTPStatus.SERVICE_UNAVAILABLE)
    if job is None or kind not in (None, job.kind):
        return JsonResponse({"detail": f"Job {job_id} not found"}, status=HTTPStatus.NOT_FOUND)
    last = EventId.parse(request.headers.get("Last-Event-ID", ""))
    if job.is_terminal and last == EventId.of_complete(job.attempt):
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    events = JobStream(job, last).events()
    return StreamingHttpResponse(events, content_type="text/event-stream", headers=STREAM_HEADERS)


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
        content = log.lines(job)
        first = next(content, None)
        if first is None:
            raise NotFound("Job logs not found")
        return StreamingHttpResponse(chain([first], content), content_type="text/plain; charset=utf-8")
