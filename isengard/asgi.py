"""One port: streams on Django's ASGI handler, everything else in threads on its WSGI handler.

Sync views under Django's ASGI handler take a thread hop for each middleware and are several times slower.
"""

import os
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "isengard.settings")

# More than there are cores: uploads and downloads mostly wait for their client.
THREADS = 16
# Slow clients can hold all of those threads for minutes, and who watches over us would take that for our death.
PROBES = frozenset({"/health", "/ready", "/api/health", "/api/ready"})
PROBE_THREADS = 2

_django = cast(Any, get_wsgi_application())
_streams = get_asgi_application()
_probes = WSGIMiddleware(_django, workers=PROBE_THREADS)
_rest = WSGIMiddleware(_django, workers=THREADS)


async def application(scope: Any, receive: Any, send: Any) -> None:
    side = _side_for(scope)
    await side(scope, _Bodiless(receive) if side is _streams else receive, send)


class _Bodiless:
    """What a client sends to a stream, without the body: Django's ASGI handler would first write all of it to disk."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._is_begun = False

    async def __call__(self) -> Any:
        if not self._is_begun:
            self._is_begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._receive()
        while message["type"] == "http.request":
            message = await self._receive()
        return message


def _side_for(scope: Any) -> Any:
    if scope["type"] == "http" and scope["path"] in PROBES:
        return _probes
    if scope["type"] == "http" and scope["path"].endswith("/stream"):
        return _streams
    return _rest
