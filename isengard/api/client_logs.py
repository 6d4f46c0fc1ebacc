"""The frontend's own log lines, kept in our structured log under the client's correlation id."""

import logging
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal

from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import BaseModel, ConfigDict, Field, field_validator
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.params import parse

logger = logging.getLogger("client")

MAX_ENTRIES = 100
MAX_CONTEXT_DEPTH = 5
MAX_CONTEXT_SIZE = 200


class ClientLogEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    timestamp: datetime = Field(description="When it happened, as the client knows.")
    level: Literal["DEBUG", "INFO", "WARN", "WARNING", "ERROR"] = Field(description="How bad it is.")
    message: str = Field(max_length=5000, strict=True, description="What happened.")
    event: str | None = Field(None, max_length=200, strict=True, description="A dotted name, such as ui.error.")
    context: dict[str, Any] | None = Field(None, description="Whatever helps; bounded in depth and size.")

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level

    @field_validator("timestamp", mode="before")
    @classmethod
    def _only_text(cls, moment: object) -> object:
        if not isinstance(moment, str):
            raise ValueError("must be a time as text, such as 2025-01-15T10:30:00.000Z")  # noqa: TRY004 (pydantic's way)
        return moment

    @field_validator("context")
    @classmethod
    def _bounded(cls, context: dict[str, Any] | None) -> dict[str, Any] | None:
        if _depth(context) > MAX_CONTEXT_DEPTH or _size(context) > MAX_CONTEXT_SIZE:
            raise ValueError(f"must have at most {MAX_CONTEXT_SIZE} values in {MAX_CONTEXT_DEPTH} levels")
        return context


class ClientLogs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    entries: list[ClientLogEntry] = Field(max_length=MAX_ENTRIES, description="Oldest first.")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _depth(value: Any) -> int:
    children = _children(value)
    return 1 + max(map(_depth, children), default=0) if children else 0


def _size(value: Any) -> int:
    return sum(1 + _size(child) for child in _children(value))


class ClientLogsView(APIView):
    throttle_scope = "client-logs"

    @extend_schema(
        operation_id="sendClientLogs",
        tags=["service"],
        request=ClientLogs,
        responses={204: OpenApiResponse(description="Kept.")},
    )
    def post(self, request: Request) -> Response:
        """Keep the frontend's log lines beside ours, so that one correlation id tells the whole story."""
        for entry in parse(ClientLogs, request.data).entries:
            level = "WARNING" if entry.level == "WARN" else entry.level
            client = {"client_time": entry.timestamp.isoformat(), "client_event": entry.event, "client": entry.context}
            logger.log(logging.getLevelNamesMapping()[level], "%s", entry.message, extra=client)
        return Response(status=HTTPStatus.NO_CONTENT)
