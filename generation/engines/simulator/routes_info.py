"""What the server is and can do, and the switches that only tests use."""

import os
import platform
from typing import Any

from aiohttp import web

from generation.engines.simulator.faults import FaultUnknown
from generation.engines.simulator.hub import FEATURES
from generation.engines.simulator.node_schema import describe
from generation.engines.simulator.replies import BodyUnreadable, internal_error, read_object
from generation.engines.simulator.server import Server

VRAM_TOTAL_BYTES = 24 * 2**30
VRAM_FREE_BYTES = 22 * 2**30
MODEL_BYTES = 12 * 2**30


class InfoRoutes:
    def __init__(self, server: Server) -> None:
        self._server = server

    def table(self) -> list[web.RouteDef]:
        return [
            web.get("/features", self.show_features),
            web.get("/object_info", self.show_nodes),
            web.get("/object_info/{name}", self.show_node),
            web.get("/system_stats", self.show_system),
        ]

    def control_table(self) -> list[web.RouteDef]:
        return [web.get("/simulator/faults", self.show_faults), web.post("/simulator/faults", self.arm_faults)]

    async def show_features(self, _: web.Request) -> web.Response:
        return web.json_response(FEATURES)

    async def show_nodes(self, _: web.Request) -> web.Response:
        return self._describe(list(self._server.inventory.nodes))

    async def show_node(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return self._describe([name] if name in self._server.inventory.nodes else [])

    def _describe(self, names: list[str]) -> web.Response:
        try:
            nodes = self._server.inventory.nodes
            return web.json_response({name: describe(nodes[name], self._server.folders) for name in names})
        except FileNotFoundError:
            # A model folder that was there is gone, on which the real server stumbles in the same way.
            return internal_error()

    async def show_system(self, _: web.Request) -> web.Response:
        return web.json_response({"system": self._system(), "devices": [self._device()]})

    def _system(self) -> dict[str, Any]:
        page_bytes = os.sysconf("SC_PAGE_SIZE")
        return {
            "os": "linux",
            "ram_total": os.sysconf("SC_PHYS_PAGES") * page_bytes,
            "ram_free": os.sysconf("SC_AVPHYS_PAGES") * page_bytes,
            "comfyui_version": self._server.release.text,
            "required_frontend_version": None,
            "installed_templates_version": None,
            "required_templates_version": None,
            "python_version": platform.python_version(),
            "pytorch_version": "stand-in",
            "embedded_python": False,
            "argv": self._server.arguments,
        }

    def _device(self) -> dict[str, Any]:
        held_bytes = 0 if self._server.residency.model is None else MODEL_BYTES
        return {
            "name": "stand-in",
            "type": "cuda",
            "index": 0,
            "vram_total": VRAM_TOTAL_BYTES,
            "vram_free": VRAM_FREE_BYTES - held_bytes,
            "torch_vram_total": held_bytes,
            "torch_vram_free": 0,
        }

    async def show_faults(self, _: web.Request) -> web.Response:
        return web.json_response({"faults": self._server.faults.armed()})

    async def arm_faults(self, request: web.Request) -> web.Response:
        try:
            self._server.faults.arm(_texts((await read_object(request))["faults"]))
        except (BodyUnreadable, KeyError):
            return web.json_response({"error": 'The body has to be {"faults": ["..."]}.'}, status=400)
        except FaultUnknown as exc:
            return web.json_response({"error": str(exc)}, status=400)
        self._server.faults.act_now()
        return await self.show_faults(request)


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BodyUnreadable
    return value
