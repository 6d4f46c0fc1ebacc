"""JSON in, strictly: UTF-8, bounded, no NaN, no lone surrogates, no key twice."""

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser

from isengard.api.exceptions import TooLarge

# Deeper than anything this API takes, and shallow enough for whoever walks through it by recursion.
MAX_DEPTH = 50


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
        _check_depth(body, parsed)
        _check_texts(body, parsed)
        return parsed


Place = tuple[str, ...]


def _values(parsed: Any) -> Iterator[tuple[Place, Any]]:
    """Yield every value in a document with the keys and indexes that lead there, outermost first, without recursion."""
    waiting: list[tuple[Place, Any]] = [((), parsed)]
    while waiting:
        place, value = waiting.pop()
        yield place, value
        if isinstance(value, dict):
            waiting += [((*place, key), part) for key, part in value.items()]
        elif isinstance(value, list):
            waiting += [((*place, str(index)), part) for index, part in enumerate(value)]


def _check_depth(body: bytes, parsed: Any) -> None:
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and any(len(place) > MAX_DEPTH for place, _ in _values(parsed)):
        raise ParseError(f"The request body is nested more than {MAX_DEPTH} levels deep.")


def _check_texts(body: bytes, parsed: Any) -> None:
    if b"\\u0000" not in body:
        return
    for place, value in _values(parsed):
        if any("\x00" in text for text in (value if isinstance(value, dict) else [value]) if isinstance(text, str)):
            raise ValidationError({".".join(place)[:200] or "body": "NUL characters are not allowed."})
