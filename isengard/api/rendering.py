"""JSON out: orjson, timestamps as the contract has them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from jobs.timestamps import iso_milliseconds


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso_milliseconds(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def to_json(content: Any) -> bytes:
    return orjson.dumps(content, default=_default, option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS)


class JsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else to_json(data)


class AlwaysJson(BaseContentNegotiation):
    """Whatever a client says it accepts, the answer is the one there is: a 406 would help nobody."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        from_type = (request.content_type or "application/json").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type in ("*/*", from_type)), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)
