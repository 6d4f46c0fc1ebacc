"""No request body is larger than its view takes: `max_body_bytes`, or what JSON may have where a view names nothing."""

from collections.abc import Callable
from io import RawIOBase
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest

from isengard.api.exceptions import TooLarge
from isengard.api.middleware import EitherModeMiddleware


class BoundedBody(RawIOBase):
    """A body that raises TooLarge once more than `limit_bytes` are read, or at once where more is announced."""

    def __init__(self, stream: Any, *, limit_bytes: int, announced_bytes: int) -> None:
        super().__init__()
        self._stream = stream
        self._limit_bytes = limit_bytes
        self._announced_bytes = announced_bytes
        self._read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        return self._counted(self._stream.read, size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._counted(self._stream.readline, size)

    def _counted(self, read: Callable[[int], bytes], size: int | None) -> bytes:
        if self._announced_bytes > self._limit_bytes:
            raise self._too_large()
        room_bytes = self._limit_bytes + 1 - self._read_bytes
        part = read(room_bytes if size is None or size < 0 else min(size, room_bytes))
        self._read_bytes += len(part)
        if self._read_bytes > self._limit_bytes:
            raise self._too_large()
        return part

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request body is too large; send at most {self._limit_bytes} bytes.")


class BodyLimitMiddleware(EitherModeMiddleware):
    """Bound the body as soon as its view is known. It is the view's first look at the body that fails, so that rate
    limits and "not found" come first.

    The connection stays open: closing it under a client that still sends would cost it the answer. The web server lets
    the rest go by without keeping it.
    """

    def process_view(self, request: HttpRequest, view: Any, _arguments: Any, _keywords: Any) -> None:
        # Other views than the API's are the admin's, with Django's own limits, and streams, which read nothing.
        if isinstance(request, WSGIRequest) and hasattr(view, "cls"):
            limit_bytes = getattr(view.cls, "max_body_bytes", settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
            _bound(request, limit_bytes)


def _bound(request: WSGIRequest, limit_bytes: int) -> None:
    # Django has no public place for a stream of one's own, and gives none where the view is known already.
    stream: Any = request._stream  # noqa: SLF001
    if _is_chunked(request):
        # Django takes a body without a length for none; the server below ends such a body where it ends.
        stream = request.environ["wsgi.input"]
        request.META["CONTENT_LENGTH"] = str(limit_bytes)
    bounded: Any = BoundedBody(stream, limit_bytes=limit_bytes, announced_bytes=_announced_bytes(request))
    request._stream = bounded  # noqa: SLF001


def _is_chunked(request: WSGIRequest) -> bool:
    return "CONTENT_LENGTH" not in request.META and "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def _announced_bytes(request: WSGIRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0
