"""The aiohttp application: who may call, and which routes there are."""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from generation.engines.simulator.hub import BODY_BYTES_MAX
from generation.engines.simulator.replies import internal_error
from generation.engines.simulator.routes_files import FileRoutes
from generation.engines.simulator.routes_info import InfoRoutes
from generation.engines.simulator.routes_prompts import PromptRoutes
from generation.engines.simulator.server import Server

CONTROL_PREFIX = "/simulator/"


def build_app(server: Server) -> web.Application:
    app = web.Application(middlewares=[refuse_foreign_origin, _fail_on_request(server)], client_max_size=BODY_BYTES_MAX)
    routes = [*PromptRoutes(server).table(), *FileRoutes(server).table(), *InfoRoutes(server).table()]
    routes.append(web.get("/ws", server.hub.serve))
    app.add_routes(routes)
    app.add_routes([web.RouteDef(route.method, f"/api{route.path}", route.handler, {}) for route in routes])
    app.add_routes(PromptRoutes(server).api_only_table())
    app.add_routes(InfoRoutes(server).control_table())
    return app


@web.middleware
async def refuse_foreign_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """On a loopback host, refuse pages of other origins; `localhost` and `127.0.0.1` count as different."""
    origin = request.headers.get("Origin")
    if origin is not None and _is_loopback(request.host) and urlsplit(origin).netloc != request.host:
        return web.Response(status=403)
    return await handler(request)


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _fail_on_request(server: Server) -> Middleware:
    @web.middleware
    async def fail_on_request(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(CONTROL_PREFIX) and server.faults.count_down("http-500"):
            return internal_error()
        return await handler(request)

    return fail_on_request
