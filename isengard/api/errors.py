"""Errors in one shape: `{"detail": "<one readable sentence>"}`."""

import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.db import OperationalError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from characters.disk import is_full_disk
from isengard.api.exceptions import StorageFull, TooLarge, Unavailable
from isengard.api.middleware import EitherModeMiddleware
from jobs.patience import is_away

logger = logging.getLogger(__name__)

SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The request is malformed.",
    HTTPStatus.FORBIDDEN: "This request is not allowed.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address; /api/docs lists what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This method is not allowed here.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is too large.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service is not available at the moment; try again later.",
}
API_ROOTS = ("/api", "/health", "/ready", "/info")


def is_for_programs(request: HttpRequest) -> bool:
    return request.path.startswith(API_ROOTS)


def _messages(detail: Any, path: str = "") -> Iterator[str]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            name = "" if key == "non_field_errors" else str(key)
            yield from _messages(value, ".".join(part for part in (path, name) if part))
    elif isinstance(detail, list):
        for value in detail:
            yield from _messages(value, path)
    else:
        yield f"{path}: {detail}" if path else str(detail)


def sentence(detail: Any) -> str:
    """Return DRF's nested error detail as one line, each message behind the path of its field."""
    return " ".join(dict.fromkeys(_messages(detail))) or "The request is malformed."


def _as_api_exception(exc: Exception) -> Exception:
    match exc:
        case RequestDataTooBig():
            return TooLarge()
        case TooManyFilesSent():
            return exceptions.ParseError("Too many files in one request; send at most 100.")
        case MultiPartParserError() | UnreadablePostError() | SuspiciousOperation():
            return exceptions.ParseError("The request body is malformed or was cut off.")
        case OSError() | OperationalError() if is_full_disk(exc):
            logger.error("The storage is full", exc_info=exc)
            return StorageFull()
        case _ if is_away(exc):
            logger.error("The database did not answer", exc_info=exc)
            return Unavailable()
    return exc


def answer_exception(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. None lets an unknown exception become a 500, which `JsonErrorsMiddleware` words."""
    response = exception_handler(_as_api_exception(exc), context)
    if response is None:
        return None
    if isinstance(exc, exceptions.Throttled):
        seconds = max(1, round(getattr(exc, "wait", None) or 1))
        response.data = {"detail": f"Rate limit exceeded. Try again in {seconds} seconds."}
        response.headers["Retry-After"] = str(seconds)
        return response
    detail = response.data
    if isinstance(detail, dict) and set(detail) == {"detail"}:
        detail = detail["detail"]
    response.data = {"detail": sentence(detail)}
    return response


def database_away() -> JsonResponse:
    answer = JsonResponse({"detail": str(Unavailable.default_detail)}, status=Unavailable.status_code)
    answer.headers["Retry-After"] = str(Unavailable.wait)
    return answer


def json_error(status: int, correlation_id: str = "") -> JsonResponse:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in SENTENCES:
        named = f" Tell the operator this id: {correlation_id}" if correlation_id else ""
        return JsonResponse({"detail": f"Something went wrong on our side.{named}"}, status=status)
    fallback = f"{HTTPStatus(status).phrase}."
    return JsonResponse({"detail": SENTENCES.get(HTTPStatus(status), fallback)}, status=status)


class JsonErrorsMiddleware(EitherModeMiddleware):
    """Put errors that Django itself words as HTML (unknown route, crash, bad host) into the API's shape."""

    def before(self, request: HttpRequest) -> None:
        # No name of ours has a NUL, and PostgreSQL refuses to look for one: with this in its place nothing is found.
        request.path_info = request.path_info.replace("\x00", "\ufffd")

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_ours = response.status_code < HTTPStatus.BAD_REQUEST or not is_for_programs(request)
        if is_ours or response.headers.get("Content-Type", "").startswith("application/json"):
            return response
        shaped = json_error(response.status_code, getattr(request, "correlation_id", ""))
        for name in ("Allow", "Retry-After"):
            if name in response.headers:
                shaped.headers[name] = response.headers[name]
        return shaped
