"""Stored files over HTTP, whole or in parts, in a way that lets no browser run what is in them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from io import SEEK_END
from typing import IO, Any

from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, quote_etag
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from characters.ranges import NotSatisfiable, Slice, Span, span_of
from characters.serializers import ErrorAnswer

logger = logging.getLogger(__name__)

# A name may be freed and used again, so a copy is asked about before it is shown; the ETag makes that cheap.
REVALIDATED = "private, no-cache"
# For what never changes under its address.
IMMUTABLE = "private, max-age=31536000, immutable"
SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
# Django's 4 KB would cost a hop between threads for every 4 KB.
BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """What is sent, apart from its bytes. `etag` is unquoted, and another one for other bytes."""

    content_type: str
    etag: str
    filename: str
    is_attachment: bool = False
    cache_control: str = REVALIDATED

    @property
    def headers(self) -> dict[str, str]:
        return {
            **SAFETY_HEADERS,
            "Cache-Control": self.cache_control,
            "ETag": quote_etag(self.etag),
            "Accept-Ranges": "bytes",
        }


def file_answers(*content_types: str) -> dict[Any, Any]:
    """Return what the schema says of a file's answers, errors apart."""
    return {
        **{(HTTPStatus.OK.value, name): OpenApiTypes.BINARY for name in content_types},
        **{(HTTPStatus.PARTIAL_CONTENT.value, name): OpenApiTypes.BINARY for name in content_types},
        304: OpenApiResponse(description="The client's copy is current."),
        416: OpenApiResponse(ErrorAnswer, description="The file has nothing in the range asked for."),
    }


def serve(
    key: str,
    *,
    content_type: str,
    etag: str,
    filename: str,
    request: HttpRequest | Request,
    is_attachment: bool = False,
) -> HttpResponseBase:
    """Answer with the file under `key`. Raises NotFound if the file is gone."""
    representation = Representation(
        content_type=content_type, etag=etag, filename=filename, is_attachment=is_attachment
    )
    return serve_opened(partial(open_stored, key, filename), representation, request)


def open_stored(key: str, filename: str) -> IO[bytes]:
    """Open a stored file. Raises NotFound, which names it as clients know it, if it is gone."""
    try:
        return default_storage.open(key, "rb")
    except FileNotFoundError as exc:
        logger.exception("A stored file is missing", extra={"key": key})
        raise NotFound(f"The file of {filename} is missing") from exc


def serve_opened(
    open_content: Callable[[], IO[bytes]], representation: Representation, request: HttpRequest | Request
) -> HttpResponseBase:
    """Answer with what `open_content` opens, or a part of it; with 304, and nothing opened, if the client has it."""
    # DRF's request hands everything that is read here on to Django's.
    unchanged = get_conditional_response(request, etag=quote_etag(representation.etag))
    response = unchanged or _content(open_content(), representation, request)
    for name, value in representation.headers.items():
        response.headers[name] = value
    return response


def _content(content: IO[bytes], representation: Representation, request: HttpRequest | Request) -> HttpResponseBase:
    size_bytes = content.seek(0, SEEK_END)
    content.seek(0)
    try:
        span = _wanted_span(request, representation, size_bytes)
    except NotSatisfiable:
        content.close()
        return _unsatisfiable(size_bytes)
    if request.method == "HEAD":
        content.close()
        return _head(representation, size_bytes)
    if span is None:
        return _body(content, representation, length_bytes=size_bytes)
    part = _body(Slice(content, span), representation, length_bytes=span.length_bytes)
    part.status_code = HTTPStatus.PARTIAL_CONTENT
    part.headers["Content-Range"] = f"bytes {span.first}-{span.last}/{size_bytes}"
    return part


def _wanted_span(request: HttpRequest | Request, representation: Representation, size_bytes: int) -> Span | None:
    asked_for = request.headers.get("Range")
    condition = request.headers.get("If-Range")
    # A part of one file and a part of another make no file: a client that has other bytes is sent all of these.
    is_of_other_bytes = condition is not None and condition.strip() != quote_etag(representation.etag)
    if asked_for is None or request.method != "GET" or is_of_other_bytes:
        return None
    return span_of(asked_for, size_bytes)


def _body(content: IO[bytes] | Slice, representation: Representation, *, length_bytes: int) -> FileResponse:
    response = FileResponse(
        content,
        as_attachment=representation.is_attachment,
        filename=representation.filename,
        content_type=representation.content_type,
    )
    response.block_size = BLOCK_BYTES
    response.headers["Content-Length"] = str(length_bytes)
    return response


def _head(representation: Representation, size_bytes: int) -> HttpResponse:
    response = HttpResponse(content_type=representation.content_type)
    response.headers["Content-Length"] = str(size_bytes)
    name = content_disposition_header(representation.is_attachment, representation.filename)
    if name:
        response.headers["Content-Disposition"] = name
    return response


def _unsatisfiable(size_bytes: int) -> HttpResponseBase:
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    detail = f"Range: this file has {size_bytes} bytes, and none of them is in the range asked for."
    return JsonResponse({"detail": detail}, status=status, headers={"Content-Range": f"bytes */{size_bytes}"})
