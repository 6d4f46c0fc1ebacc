"""One id per request, from the client if it is sane, on every log line and in every answer."""

import re
import secrets
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bind_contextvars, clear_contextvars

HEADER = "X-Correlation-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


def correlation_id_for(given: str | None) -> str:
    """Return the client's id, or a new one where there is none or it could break a log line."""
    return given if given and SANE_ID.fullmatch(given) else secrets.token_hex(16)


class CorrelationMiddleware:
    """Outermost, so that the answers of every other middleware carry the id too."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        clear_contextvars()
        correlation_id = correlation_id_for(request.headers.get(HEADER))
        request.correlation_id = correlation_id  # type: ignore[attr-defined]
        bind_contextvars(correlation_id=correlation_id)
        answer = self.get_response(request)
        if isinstance(answer, HttpResponseBase):
            answer.headers[HEADER] = correlation_id
            return answer
        return self._finish(answer, correlation_id)

    async def _finish(self, answer: Awaitable[HttpResponseBase], correlation_id: str) -> HttpResponseBase:
        response = await answer
        response.headers[HEADER] = correlation_id
        return response
