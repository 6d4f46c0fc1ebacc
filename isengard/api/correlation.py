"""One id per request, from the client if it is sane, on every log line and in every answer."""

import re
import secrets

from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bind_contextvars, clear_contextvars

from isengard.api.middleware import EitherModeMiddleware

HEADER = "X-Correlation-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def correlation_id_for(given: str | None) -> str:
    """Return the client's id, or a new one where there is none or it could break a log line."""
    return given if given and SANE_ID.fullmatch(given) else secrets.token_hex(16)


class CorrelationMiddleware(EitherModeMiddleware):
    """Outermost, so that the answers of every other middleware carry the id too."""

    def before(self, request: HttpRequest) -> None:
        clear_contextvars()
        correlation_id = correlation_id_for(request.headers.get(HEADER))
        request.correlation_id = correlation_id  # type: ignore[attr-defined]
        bind_contextvars(correlation_id=correlation_id)

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers[HEADER] = request.correlation_id  # type: ignore[attr-defined]
        return response
