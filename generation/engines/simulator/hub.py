"""The WebSocket side: who is connected, and what they are sent. Its public methods may be called from any thread."""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

BODY_BYTES_MAX = 100 * 2**20
FEATURES = {
    "supports_preview_metadata": True,
    "max_upload_size": BODY_BYTES_MAX,
    "extension": {"manager": {"supports_v4": True}},
}


@dataclass(slots=True)
class Socket:
    response: web.WebSocketResponse
    request: web.Request
    features: dict[str, Any] = field(default_factory=dict)

    async def send(self, frame: str | bytes) -> None:
        try:
            if isinstance(frame, str):
                await self.response.send_str(frame)
            else:
                await self.response.send_bytes(frame)
        except ConnectionError:
            # The reader of this socket notices too, and takes it out of the table.
            return


class Hub:
    """`client_id` and `last_node_id` tell whose prompt runs, and how far it is, to a client that connects midway."""

    def __init__(self, loop: asyncio.AbstractEventLoop, remaining: Callable[[], int]) -> None:
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self._loop = loop
        self._remaining = remaining
        self._sockets: dict[str, Socket] = {}
        self._outbox: asyncio.Queue[tuple[str | None, str | bytes]] = asyncio.Queue()

    def send(self, event: str, content: dict[str, Any], client_id: str | None) -> None:
        """Send to one client, or to everybody if `client_id` is None."""
        self._post(client_id, _message(event, content))

    def send_bytes(self, frame: bytes, client_id: str | None) -> None:
        self._post(client_id, frame)

    def send_status(self) -> None:
        self.send("status", self._status(), None)

    def _post(self, client_id: str | None, frame: str | bytes) -> None:
        self._loop.call_soon_threadsafe(self._outbox.put_nowait, (client_id, frame))

    def wants_preview_metadata(self, client_id: str | None) -> bool:
        socket = self._sockets.get(client_id) if client_id is not None else None
        return bool(socket and socket.features.get("supports_preview_metadata"))

    def deafen(self) -> None:
        """Send nothing more to the sockets that are open now, but leave them open."""
        self._loop.call_soon_threadsafe(self._sockets.clear)

    def drop(self) -> None:
        """Break the connections that are open now, without a closing handshake."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def _abort_all(self) -> None:
        for socket in self._sockets.values():
            if socket.request.transport is not None:
                socket.request.transport.abort()
        self._sockets.clear()

    async def publish(self) -> None:
        """Deliver what was sent, in order, for as long as the server lives."""
        while True:
            client_id, frame = await self._outbox.get()
            for socket in self._receivers(client_id):
                await socket.send(frame)

    def _receivers(self, client_id: str | None) -> list[Socket]:
        if client_id is None:
            return list(self._sockets.values())
        return [self._sockets[client_id]] if client_id in self._sockets else []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        client_id = request.query.get("clientId") or uuid.uuid4().hex
        socket = Socket(response, request)
        # A second socket with the same id takes the place of the first, which is not told and stays open.
        self._sockets[client_id] = socket
        try:
            await self._greet(socket, client_id)
            await self._listen(socket)
        finally:
            # ComfyUI removes the id, not the socket: when the older of two closes, the newer one goes deaf.
            self._sockets.pop(client_id, None)
        return response

    async def _greet(self, socket: Socket, client_id: str) -> None:
        await socket.send(_message("status", {**self._status(), "sid": client_id}))
        if self.client_id == client_id and self.last_node_id is not None:
            await socket.send(_message("executing", {"node": self.last_node_id}))

    async def _listen(self, socket: Socket) -> None:
        is_first = True
        async for message in socket.response:
            content = _parse(message.data) if message.type is WSMsgType.TEXT else None
            if content is None:
                continue
            if is_first and content.get("type") == "feature_flags":
                flags = content.get("data")
                socket.features = flags if isinstance(flags, dict) else {}
                await socket.send(_message("feature_flags", FEATURES))
            is_first = False

    def _status(self) -> dict[str, Any]:
        return {"status": {"exec_info": {"queue_remaining": self._remaining()}}}


def _message(event: str, content: dict[str, Any]) -> str:
    return json.dumps({"type": event, "data": content})


def _parse(text: str) -> dict[str, Any] | None:
    """Return None for junk, which is ignored."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
