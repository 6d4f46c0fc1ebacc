"""The OpenAPI document and its page."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer2
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from isengard.api.rendering import AlwaysJson, JsonRenderer

FORMATS = ("json", "yaml")
# Nothing but our own files: the page works offline, and nothing that gets into it can run or call home.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class YamlIfAsked(AlwaysJson):
    """`?format=` decides; without it a client that accepts YAML by name gets it."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        wanted = request.query_params.get("format")
        if wanted is None:
            wanted = "yaml" if "yaml" in request.headers.get("Accept", "") else "json"
        first, *others = renderers
        chosen = next((renderer for renderer in others if renderer.format == wanted), first)
        return chosen, str(chosen.media_type)


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document. It depends on the code alone."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return schema


class SchemaView(APIView):
    renderer_classes = [JsonRenderer, OpenApiYamlRenderer2]
    content_negotiation_class = YamlIfAsked

    @extend_schema(
        operation_id="getSchema",
        tags=["service"],
        summary="Get this document",
        parameters=[OpenApiParameter("format", str, enum=FORMATS, default="json", description="How it is written.")],
        responses={(200, "application/json"): OpenApiTypes.OBJECT, (200, "application/yaml"): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request) -> Response:
        """Say in OpenAPI 3.1 what the API takes and gives, as JSON or as YAML."""
        if request.query_params.get("format", "json") not in FORMATS:
            raise ValidationError({"format": f"must be {' or '.join(FORMATS)}."})
        return Response(document())


class DocsView(SpectacularSwaggerSplitView):
    url_name = "schema"
    template_name = "isengard/docs.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        answer: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        answer.headers["Content-Security-Policy"] = DOCS_POLICY
        return answer
