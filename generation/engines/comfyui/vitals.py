"""How a ComfyUI server is: its version, its cards, how fast it answers, and whether its clock is right."""

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pydantic import TypeAdapter, ValidationError

from generation.engines.comfyui.answers import Answer, System
from generation.engines.comfyui.transport import Reply, Transport

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0


class Card(Answer):
    """What ComfyUI calculates on; memory is in bytes. `type` is cuda, cpu, mps or another of torch's."""

    name: str = ""
    type: str = ""
    vram_total: int = 0
    vram_free: int = 0


class SystemStats(Answer):
    system: System
    devices: tuple[Card, ...] = ()


class Features(Answer):
    supports_preview_metadata: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """`clock_ahead_seconds` is good to a second, and None where the server does not tell the time."""

    version: str
    cards: tuple[Card, ...]
    latency_seconds: float
    clock_ahead_seconds: float | None
    has_previews: bool


_STATS = TypeAdapter(SystemStats)
_FEATURES = TypeAdapter(Features)


def read_vitals(server_url: str) -> Vitals:
    """Raises ServerAway."""
    transport = Transport(server_url, connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS)
    with closing(transport):
        # The first call also opens the connection, which is no part of what is measured.
        stats = _parse(transport, transport.call("GET", "/system_stats"), _STATS)
        features = transport.call("GET", "/features")
        asked = time.monotonic()
        reply = transport.call("GET", "/prompt")
        return Vitals(
            version=stats.system.comfyui_version,
            cards=stats.devices,
            latency_seconds=time.monotonic() - asked,
            clock_ahead_seconds=_ahead(reply.date),
            has_previews=_has_previews(features),
        )


def _parse(transport: Transport, reply: Reply, adapter: TypeAdapter[SystemStats]) -> SystemStats:
    try:
        return adapter.validate_json(reply.body)
    except ValidationError as exc:
        raise transport.foreign(reply.status) from exc


def _has_previews(reply: Reply) -> bool:
    try:
        return reply.status == 200 and _FEATURES.validate_json(reply.body).supports_preview_metadata
    except ValidationError:
        return False


def _ahead(date: str) -> float | None:
    try:
        told = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (told - datetime.now(UTC)).total_seconds() if told.tzinfo else None
