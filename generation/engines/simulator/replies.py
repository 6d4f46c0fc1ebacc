"""Answers and readings that several routes share."""

import json
from typing import Any

from aiohttp import web


def internal_error() -> web.Response:
    """Answer as aiohttp does when a handler of the real server crashes."""
    return web.Response(status=500, text="500 Internal Server Error\n\nServer got itself in trouble")


class BodyUnreadable(ValueError):
    """The body is no JSON, or not of a shape that the real server survives."""


async def read_json(request: web.Request) -> Any:
    """Return the body, whatever its content type says. Raises BodyUnreadable."""
    try:
        return json.loads(await request.read())
    except ValueError as exc:
        raise BodyUnreadable from exc


async def read_object(request: web.Request) -> dict[str, Any]:
    content = await read_json(request)
    if not isinstance(content, dict):
        raise BodyUnreadable
    return content
