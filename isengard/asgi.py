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

_streams = get_asgi_application()
_rest = WSGIMiddleware(cast(Any, get_wsgi_application()), workers=THREADS)


async def application(scope: Any, receive: Any, send: Any) -> None:
    is_stream = scope["type"] == "http" and scope["path"].endswith("/stream")
    await (_streams if is_stream else _rest)(scope, receive, send)
