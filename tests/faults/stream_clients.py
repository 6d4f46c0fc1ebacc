"""A hundred readers of one job's stream that behave badly: they leave, break off, dawdle, and come back.

Each does what the specification of server-sent events asks of a browser: it counts an event only once its last line has
come, sends `Last-Event-ID` when it comes back, and stops at a 204. Whoever has seen `complete` comes back once more.
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
LONGEST_PAUSE_SECONDS = 1.0
LONGEST_DAWDLE_SECONDS = 3.0
# Small, so that a reader that dawdles is one that the server has to wait for.
RECEIVE_BUFFER_BYTES = 4096
MANNERS = ("leaves", "breaks off", "dawdles", "stays")


@dataclass
class Told:
    id: tuple[int, ...]
    event: str
    data: dict[str, Any]


@dataclass
class Client:
    """`told` is every event in the order of its coming; `statuses` the answers' HTTP statuses."""

    number: int
    told: list[Told] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    last_event_id: str = ""

    @property
    def has_ended(self) -> bool:
        return bool(self.told) and self.told[-1].event == "complete"

    @property
    def artifacts(self) -> set[str]:
        return {artifact["name"] for told in self.told for artifact in told.data.get("artifacts", ())}

    def states(self) -> list[tuple[int, str]]:
        """Return each attempt and status that differs from the one before."""
        seen = [(told.data["attempt"], told.data["status"]) for told in self.told if told.event != "preview"]
        return [state for state, before in zip(seen, [None, *seen], strict=False) if state != before]


async def follow(host: str, port: int, path: str, client: Client, *, seed: int) -> None:
    """Read the stream until it tells this client to stop."""
    chance = random.Random(f"{seed}/{client.number}")
    while True:
        # The server is away, or goes in mid-answer.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, EOFError):
            await _read_once(host, port, path, client, chance)
        if client.statuses[-1:] == [204]:
            return
        await asyncio.sleep(chance.uniform(0.05, LONGEST_PAUSE_SECONDS))


async def _read_once(host: str, port: int, path: str, client: Client, chance: random.Random) -> None:
    reader, writer = await _connect(host, port)
    try:
        await _ask(reader, writer, path, client)
        manner = chance.choice(MANNERS) if not client.has_ended else "stays"
        events_until_then = chance.randint(0, 25)
        while await _take_event(reader, client):
            events_until_then -= 1
            if events_until_then < 0 and manner == "dawdles":
                events_until_then = chance.randint(5, 25)
                await asyncio.sleep(chance.uniform(0, LONGEST_DAWDLE_SECONDS))
            elif events_until_then < 0 and manner != "stays":
                return
    finally:
        if client.number % 2:
            # It vanishes, as a laptop that is closed does when its network comes back.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        writer.close()


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
        return await asyncio.open_connection(sock=connection, limit=2**20)
    except OSError:
        connection.close()
        raise


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, client: Client) -> None:
    last = f"Last-Event-ID: {client.last_event_id}\r\n" if client.last_event_id else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{last}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    client.statuses.append(int(head.split()[1]))
    if client.statuses[-1] != 200:
        raise EOFError


async def _take_event(reader: asyncio.StreamReader, client: Client) -> bool:
    """Wait for a whole event; False at the end of the stream. Chunked: the sizes between the lines are skipped."""
    fields: dict[str, str] = {}
    while True:
        line = await reader.readline()
        if not line.endswith(b"\n") or line == b"0\r\n":
            return False
        text = line.decode().rstrip("\n")
        name, _, value = text.partition(": ")
        if name in ("id", "event", "data"):
            fields[name] = value
        elif not text and "data" in fields:
            client.last_event_id = fields["id"]
            client.told.append(Told(_as_numbers(fields["id"]), fields["event"], json.loads(fields["data"])))
            return True


def _as_numbers(event_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in event_id.replace(".", "-").split("-"))
