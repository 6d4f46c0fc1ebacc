"""Stored pictures over HTTP, as they are or as thumbnails, which are made when they are first asked for."""

import logging
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import PurePosixPath
from typing import IO

from django.core.files.storage import default_storage
from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from characters import files, shrinking
from characters.queries import whole_number
from characters.serving import Representation, open_stored, serve_opened

logger = logging.getLogger(__name__)

MIN_SIDE_PIXELS = 64
MAX_SIDE_PIXELS = 1024
# Asking for every size there is must not fill the disk: more are made, but not kept.
MAX_KEPT_PER_PICTURE = 16

SIZE_PARAMETER = OpenApiParameter(
    "size",
    {"type": "integer", "minimum": MIN_SIDE_PIXELS, "maximum": MAX_SIDE_PIXELS},
    description="Send a WebP thumbnail instead, its longest side at most this many pixels; it is never enlarged.",
)


def serve_picture(key: str, representation: Representation, request: Request) -> HttpResponseBase:
    """Answer with a stored picture, or where the query names a `size`, with a thumbnail of it."""
    side = whole_number(request, "size", default=None, lowest=MIN_SIDE_PIXELS, highest=MAX_SIDE_PIXELS)
    if side is None:
        return serve_opened(partial(open_stored, key, representation.filename), representation, request)
    small = replace(
        representation,
        content_type=shrinking.CONTENT_TYPE,
        etag=f"{representation.etag}-{side}",
        filename=f"{PurePosixPath(representation.filename).stem}-{side}{shrinking.EXTENSION}",
    )
    return serve_opened(partial(_opened, key, side, representation.filename), small, request)


def _opened(key: str, side: int, filename: str) -> IO[bytes]:
    kept_as = f"{files.thumbnails_of(key)}/{side}{shrinking.EXTENSION}"
    try:
        return default_storage.open(kept_as, "rb")
    except OSError:
        # Usually not there yet; if it cannot be read, another one can be made.
        content = _made(key, side, filename)
    _keep(kept_as, content, key)
    return BytesIO(content)


def _made(key: str, side: int, filename: str) -> bytes:
    with open_stored(key, filename) as picture:
        try:
            return shrinking.shrunk(picture, side)
        except shrinking.PictureUnreadable as exc:
            logger.exception("A stored picture cannot be read", extra={"key": key})
            raise NotFound(f"The file of {filename} is damaged") from exc


def _keep(kept_as: str, content: bytes, key: str) -> None:
    """Keep a thumbnail. What a GET writes here nobody would miss: no row names it, and it can be made again."""
    if len(files.names_in(files.thumbnails_of(key))) >= MAX_KEPT_PER_PICTURE:
        return
    try:
        files.publish(kept_as, BytesIO(content))
    except OSError:
        logger.warning("A thumbnail could not be kept", extra={"key": kept_as}, exc_info=True)
    if not default_storage.exists(key):
        # Its picture was deleted meanwhile.
        files.discard_thumbnails(key)
