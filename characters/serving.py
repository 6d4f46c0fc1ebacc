"""Stored files over HTTP, in a way that lets no browser run what is in them."""

import logging

from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

logger = logging.getLogger(__name__)

SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    # A name may be freed and used again, so a copy is asked about before it is shown; the ETag makes that cheap.
    "Cache-Control": "private, no-cache",
}


def serve(key: str, *, content_type: str, etag: str, filename: str, request: HttpRequest | Request) -> HttpResponseBase:
    """Answer with the file under `key`, or 304 if the client has the content that `etag` (unquoted) names.

    Raises NotFound if the file is gone.
    """
    headers = {**SAFETY_HEADERS, "ETag": quote_etag(etag)}
    # DRF's request hands everything that is read here on to Django's.
    unchanged = get_conditional_response(request, etag=headers["ETag"])
    response = unchanged or _file(key, content_type=content_type, filename=filename)
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _file(key: str, *, content_type: str, filename: str) -> HttpResponseBase:
    try:
        content = default_storage.open(key, "rb")
    except FileNotFoundError as exc:
        logger.exception("A stored file is missing", extra={"key": key})
        raise NotFound(f"The file of {filename} is missing") from exc
    return FileResponse(content, content_type=content_type, filename=filename)
