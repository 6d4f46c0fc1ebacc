"""Stored pictures over HTTP, as they are, smaller, or in another format; copies are made when first asked for."""

import logging
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from io import BytesIO
from pathlib import PurePosixPath
from typing import IO

from django.core.files.storage import default_storage
from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request

from characters import files, renditions
from characters.queries import one_of, whole_number
from characters.renditions import CONTENT_TYPES, FORMAT_NAMES, FormatName, Rendition
from characters.serializers import ErrorAnswer
from characters.serving import Representation, file_answers, open_stored, serve_opened

logger = logging.getLogger(__name__)

MIN_SIDE_PIXELS = 64
MAX_SIDE_PIXELS = 2048
DEFAULT_FORMAT: FormatName = "webp"
RETRY_AFTER_SECONDS = 5
# Asking for every size there is must not fill the disk: more are made, but not kept.
MAX_KEPT_PER_PICTURE = 16

SIZE_PARAMETER = OpenApiParameter(
    "size",
    {"type": "integer", "minimum": MIN_SIDE_PIXELS, "maximum": MAX_SIDE_PIXELS},
    description="Send a copy whose longest side is at most this many pixels, WebP unless `format` says otherwise; "
    "never enlarged, and without metadata.",
)
FORMAT_PARAMETER = OpenApiParameter(
    "format",
    {"type": "string", "enum": list(FORMAT_NAMES)},
    description="Send it in this format. A JPEG or WebP of the whole size keeps, as the EXIF comment, what a generated "
    "picture says of how it was made.",
)
PICTURE_PARAMETERS = [SIZE_PARAMETER, FORMAT_PARAMETER]
BUSY = OpenApiResponse(
    ErrorAnswer, description="Too many large pictures are being converted; `Retry-After` says when to try again."
)
PICTURE_ANSWERS = {**file_answers(*CONTENT_TYPES.values()), HTTPStatus.SERVICE_UNAVAILABLE.value: BUSY}


class Busy(APIException):
    """503, with the header that says when to come back."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_detail = (
        "Too many large pictures are being converted: try again in some seconds, or ask for a smaller size."
    )
    wait = RETRY_AFTER_SECONDS


def serve_picture(key: str, representation: Representation, request: Request) -> HttpResponseBase:
    """Answer with a stored picture, or where the query names a `size` or another `format`, with such a copy of it."""
    wanted = _wanted(representation, request)
    if wanted is None:
        return serve_opened(partial(open_stored, key, representation.filename), representation, request)
    copy = replace(
        representation,
        content_type=wanted.content_type,
        etag=f"{representation.etag}-{wanted.name}",
        filename=PurePosixPath(representation.filename).stem + wanted.suffix,
    )
    return serve_opened(partial(_opened, key, wanted, representation.filename), copy, request)


def _wanted(representation: Representation, request: Request) -> Rendition | None:
    side = whole_number(request, "size", default=None, lowest=MIN_SIDE_PIXELS, highest=MAX_SIDE_PIXELS)
    name = one_of(request, "format", FORMAT_NAMES)
    is_as_stored = name is None or CONTENT_TYPES[name] == representation.content_type
    if side is None and is_as_stored:
        return None
    return Rendition(name or DEFAULT_FORMAT, side)


def _opened(key: str, wanted: Rendition, filename: str) -> IO[bytes]:
    kept_as = f"{files.thumbnails_of(key)}/{wanted.name}"
    try:
        return default_storage.open(kept_as, "rb")
    except OSError:
        # Usually not there yet; if it cannot be read, another one can be made.
        content = _made(key, wanted, filename)
    _keep(kept_as, content, key)
    return BytesIO(content)


def _made(key: str, wanted: Rendition, filename: str) -> bytes:
    with open_stored(key, filename) as picture:
        try:
            return renditions.render(picture, wanted)
        except renditions.PictureUnreadable as exc:
            logger.exception("A stored picture cannot be read", extra={"key": key})
            raise NotFound(f"The file of {filename} is damaged") from exc
        except renditions.TooBusy as exc:
            raise Busy from exc


def _keep(kept_as: str, content: bytes, key: str) -> None:
    """Keep a copy. What a GET writes here nobody would miss: no row names it, and it can be made again."""
    if len(files.names_in(files.thumbnails_of(key))) >= MAX_KEPT_PER_PICTURE:
        return
    try:
        files.publish(kept_as, BytesIO(content))
    except OSError:
        logger.warning("A copy of a picture could not be kept", extra={"key": kept_as}, exc_info=True)
    if not default_storage.exists(key):
        # Its picture was deleted meanwhile.
        files.discard_thumbnails(key)
