"""The streams of events, described here because drf-spectacular does not see plain Django views."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.plumbing import ComponentRegistry
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from isengard.api.schema.events import JOB_TYPES, CompleteEvent, PreviewEvent, ProgressEvent
from isengard.api.schema.inspection import ApiSchema

MEDIA_TYPE = "text/event-stream"
# Path: operation id, tag.
ALL_JOBS = "/api/jobs/stream"
STREAMS = {
    ALL_JOBS: ("streamAllJobs", "jobs"),
    "/api/jobs/{job_id}/stream": ("streamJob", "jobs"),
    "/api/training/{job_id}/stream": ("streamTraining", "training"),
    "/api/generation/{job_id}/stream": ("streamGeneration", "generation"),
}
DESCRIPTION = """\
Without `Last-Event-ID`, or with one that is no longer held, a `progress` with the present state comes first, then what
happens. With one, the events that were missed come first. `complete` is the last event, and the server then closes.

Every event has an `id`, and no id comes twice, however often a client comes back with the last one. A comment every
15 seconds shows that the line is alive; `retry` is 2 seconds. At most four `progress` events a second are sent, and
nothing that matters is dropped by that.
"""
EXAMPLE = """\
retry: 2000

id: 1-42
event: progress
data: {"job_id":"train-abc123","job_type":"training","status":"running","progress":45,"message":"Step 450/1000", ...}

id: 1-97
event: complete
data: {"job_id":"train-abc123","job_type":"training","status":"completed","progress":100, ...}

"""


ALL_JOBS_DESCRIPTION = """\
First comes a `progress` with the present state of each live job: of those at work, and of the first 200 that wait. Then
comes what happens, of all jobs; `complete` ends a job, never the stream. The data says which job it is about
(`job_id`, `job_type`).

An event's `id` is its id in the job's own stream behind the job's. Nothing is replayed: whoever comes back, with
`Last-Event-ID` or without, gets the present state again. What a job publishes is told while it runs; what was missed
has the job's own stream. A comment every 15 seconds shows that the line is alive; `retry` is 2 seconds.
"""
ALL_JOBS_EXAMPLE = """\
retry: 2000

id: train-abc123:1-42
event: progress
data: {"job_id":"train-abc123","job_type":"training","status":"running","progress":45,"message":"Step 450/1000", ...}

id: gen-def456:2-0
event: complete
data: {"job_id":"gen-def456","job_type":"generation","status":"completed","progress":100, ...}

"""


class StreamSchema(ApiSchema):
    def get_operation_id(self) -> str:
        return STREAMS[self.path][0]

    def get_tags(self) -> list[str]:
        return [STREAMS[self.path][1]]

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> dict[str, Any] | None:
        operation = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation is not None:
            content = operation["responses"]["200"]["content"][MEDIA_TYPE]
            # The body is text; what stands behind each `data:` in it is one of these.
            content["schema"] = {"type": "string", "contentMediaType": MEDIA_TYPE, "contentSchema": content["schema"]}
        return operation


class StreamDescription(APIView):
    """Serves nothing; `jobs.views.stream_job` does."""

    schema = StreamSchema()

    @extend_schema(
        summary="Follow a job as server-sent events",
        description=DESCRIPTION,
        parameters=[
            OpenApiParameter(
                "Last-Event-ID",
                str,
                OpenApiParameter.HEADER,
                description="The id of the last event that was seen. An EventSource sends it by itself.",
            )
        ],
        responses={
            (200, MEDIA_TYPE): OpenApiResponse(
                PolymorphicProxySerializer(
                    component_name="StreamEvent",
                    serializers=[ProgressEvent, CompleteEvent, PreviewEvent],
                    resource_type_field_name=None,
                ),
                description="Events named `progress`, `complete` and, for generations, `preview`.",
                examples=[OpenApiExample("A training", value=EXAMPLE, media_type=MEDIA_TYPE)],
            ),
            204: OpenApiResponse(description="`Last-Event-ID` is that of `complete`: there is nothing more to come."),
        },
    )
    def get(self, request: Request, job_id: str) -> Response:
        raise NotImplementedError


class AllJobsStreamDescription(APIView):
    """Serves nothing; `jobs.views.stream_all_jobs` does."""

    schema = StreamSchema()

    @extend_schema(
        summary="Follow all jobs as server-sent events",
        description=ALL_JOBS_DESCRIPTION,
        parameters=[OpenApiParameter("kind", str, enum=JOB_TYPES, description="Only jobs of this kind.")],
        responses={
            (200, MEDIA_TYPE): OpenApiResponse(
                PolymorphicProxySerializer(
                    component_name="AllJobsStreamEvent",
                    serializers=[ProgressEvent, CompleteEvent],
                    resource_type_field_name=None,
                ),
                description="Events named `progress` and `complete`.",
                examples=[OpenApiExample("A training and a generation", value=ALL_JOBS_EXAMPLE, media_type=MEDIA_TYPE)],
            )
        },
    )
    def get(self, request: Request) -> Response:
        raise NotImplementedError


Endpoint = tuple[str, str, str, Callable[..., Any]]


def add_streams(endpoints: list[Endpoint], **_: Any) -> list[Endpoint]:
    """Add the streams to what drf-spectacular found; a hook that it calls before it reads the views."""
    of_one, of_all = StreamDescription.as_view(), AllJobsStreamDescription.as_view()
    views = {path: of_all if path == ALL_JOBS else of_one for path in STREAMS}
    return [*endpoints, *((path, path.replace("{", "<str:").replace("}", ">"), "GET", views[path]) for path in STREAMS)]
