"""JSON in, strictly: UTF-8, bounded, no NaN, no lone surrogates, no key twice."""

import json
from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from isengard.api.exceptions import TooLarge


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError(f"The key {twice[:100]!r} is given twice.")
    return parsed


class JsonParser(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(f"The request body is too large; send at most {limit} bytes.")
        try:
            # orjson refuses what json lets pass (NaN, lone surrogates, deep nesting); json shows keys that come twice.
            orjson.loads(body)
            parsed = json.loads(body, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as exc:
            raise ParseError(f"The request body is not valid JSON: {str(exc)[:200]}.") from exc
        if b"\\u0000" in body and _has_nul(parsed):
            raise ParseError("The request body has a NUL character; remove it.")
        return parsed


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_has_nul(part) for part in value)
    return isinstance(value, str) and "\x00" in value
