"""The strip of lights: whether each thing that the work stands on is well, in a word and a sentence."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.db import connection
from django.urls import reverse

from characters import disk
from isengard.cockpit.overview.rows import Rows, kind_title, page_of
from jobs import disk_room, readable, slots
from jobs.models import QueueState, Slot
from jobs.overview import QueueOverview
from jobs.progress import server as redis_server

Level = Literal["well", "warning", "trouble"]
# So many times the floor are still worth a warning: a training writes gigabytes.
NEAR_FLOOR = 2
# What the service says of itself, part by part.
READY = "/ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """`word` says at a glance what `level` colours; `says` what it is about. `address` is where one can act."""

    title: str
    level: Level
    word: str
    says: str
    address: str = ""


def lights(rows: Rows) -> list[Light]:
    return [
        Light(title="API", level="well", word="up", says=f"version {settings.VERSION}", address=reverse("docs")),
        Light(title="Database", level="well", word="up", says=connection.display_name, address=READY),
        _redis(),
        _disk(),
        *(_queue(queue) for queue in rows.queues),
        *_slots(rows),
    ]


def _redis() -> Light:
    trouble = redis_server.trouble()
    if trouble:
        says = f"{trouble}; jobs wait, and progress comes from the database"
        return Light(title="Redis", level="trouble", word="away", says=says, address=READY)
    return Light(title="Redis", level="well", word="up", says="takes writes", address=READY)


def _disk() -> Light:
    free_bytes, address = disk_room.measured_bytes(), reverse("admin:jobs_artifact_changelist")
    if free_bytes is None:
        return Light(title="Disk", level="trouble", word="unknown", says="its room cannot be read", address=address)
    floor = settings.MIN_FREE_BYTES
    says = f"{readable.size(free_bytes)} free" + (f", floor {readable.size(floor)}" if floor else "")
    if disk.is_low(free_bytes):
        return Light(title="Disk", level="trouble", word="full", says=f"{says}: nothing new is taken", address=address)
    if free_bytes < NEAR_FLOOR * floor:
        return Light(title="Disk", level="warning", word="low", says=says, address=address)
    return Light(title="Disk", level="well", word="room", says=says, address=address)


def _queue(queue: QueueOverview) -> Light:
    title, address = f"{kind_title(queue.kind)} queue", page_of(QueueState(kind=queue.kind))
    says = f"{queue.waiting} waiting, {queue.running} running"
    if queue.is_paused:
        return Light(title=title, level="warning", word="paused", says=f"by an operator; {says}", address=address)
    if not queue.served_slots:
        return Light(title=title, level="trouble", word="nobody", says=f"no worker is up; {says}", address=address)
    if set(queue.served_slots) <= set(queue.drained_slots):
        return Light(title=title, level="warning", word="drained", says=says, address=address)
    return Light(title=title, level="well", word="open", says=says, address=address)


def _slots(rows: Rows) -> Iterator[Light]:
    for slot in rows.slots:
        level, word = state_of(slot, rows)
        says = trouble_of(slot, rows) or f"{len(rows.on_slot(slot.name))} of {slot.capacity} at work"
        yield Light(title=slot.name, level=level, word=word, says=says, address=page_of(slot))


def state_of(slot: Slot, rows: Rows) -> tuple[Level, str]:
    if not slot.is_served(rows.now):
        return "trouble", "silent"
    if slots.is_drained(slot):
        return "warning", "drained"
    if slot.away_since is not None:
        return "trouble", "engine down"
    if slots.is_paused(slot):
        return "warning", "rests"
    if disk_room.trouble_of(slot):
        return "trouble", "no room"
    return "well", "busy" if rows.on_slot(slot.name) else "idle"


def trouble_of(slot: Slot, rows: Rows) -> str:
    if not slot.is_served(rows.now):
        return f"its worker was last heard of {readable.age(slot.heartbeat_at)} ago"
    return slots.trouble_of(slot)
