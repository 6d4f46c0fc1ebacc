"""The streams of events: of a job, and of all jobs."""

import logging
from collections.abc import AsyncIterator
from http import HTTPStatus

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from jobs import kinds
from jobs.all_jobs_stream import AllJobsStream
from jobs.progress.event_id import EventId
from jobs.streams import JobStream, come_back, read_job

logger = logging.getLogger(__name__)

STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


@csrf_exempt
async def stream_job(request: HttpRequest, job_id: str, kind: str | None = None) -> HttpResponseBase:
    """Answer the job's events as `text/event-stream`. 204 tells an EventSource that has seen `complete` to stop."""
    if request.method != "GET":
        return _not_allowed()
    try:
        job = await read_job(job_id)
    except DatabaseError:
        logger.exception("A stream cannot begin while the database is away")
        return _stream(come_back())
    if job is None or kind not in (None, job.kind):
        return JsonResponse({"detail": f"Job {job_id} not found"}, status=HTTPStatus.NOT_FOUND)
    last = EventId.parse(request.headers.get("Last-Event-ID", ""))
    if job.is_terminal and last == EventId.of_complete(job.attempt):
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return _stream(JobStream(job, last).events())


@csrf_exempt
async def stream_all_jobs(request: HttpRequest) -> HttpResponseBase:
    """Answer the events of all jobs, or of those of `?kind=`, as `text/event-stream`."""
    if request.method != "GET":
        return _not_allowed()
    kind = request.GET.get("kind")
    if kind is not None and kind not in kinds.names():
        detail = f"kind: must be one of {', '.join(kinds.names())}."
        return JsonResponse({"detail": detail}, status=HTTPStatus.BAD_REQUEST)
    return _stream(AllJobsStream(kind).events())


def _not_allowed() -> HttpResponse:
    return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})


def _stream(events: AsyncIterator[bytes]) -> StreamingHttpResponse:
    return StreamingHttpResponse(events, content_type="text/event-stream", headers=STREAM_HEADERS)
