"""GPUs with what they carry, and the slots with the workers that serve them."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from isengard.cockpit.overview.health import Level, state_of, trouble_of
from isengard.cockpit.overview.rows import Rows, kind_title, page_of
from jobs import readable
from jobs.gpus import SHOWN_SECONDS
from jobs.models import GpuLease, Slot

HOT_CELSIUS = 85
NEARLY_ALL_PERCENT = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A bar of `percent`, and the same in words."""

    name: str
    percent: int
    says: str
    is_high: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    name: str
    address: str
    kind: str
    level: Level
    word: str
    trouble: str
    heartbeat: str
    worker: str
    engine: str
    load: str
    holders: list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A GPU. `note` says why there are no gauges, or how old they are."""

    name: str
    address: str
    gauges: list[Gauge]
    note: str
    places: list[Place] = field(default_factory=list)


def machines(rows: Rows) -> list[Machine]:
    by_gpu: dict[int, list[Slot]] = defaultdict(list)
    for slot in rows.slots:
        by_gpu[slot.gpu_id].append(slot)
    found = [_machine(slots[0].gpu, [_place(slot, rows) for slot in slots], rows) for slots in by_gpu.values()]
    return sorted(found, key=lambda machine: machine.name)


def _machine(gpu: GpuLease, places: list[Place], rows: Rows) -> Machine:
    figures, note = gpu.figures, ""
    if figures is None or gpu.figures_at is None:
        note = "Load and memory are unknown: no NVIDIA driver has told them."
    elif abs((rows.now - gpu.figures_at).total_seconds()) > SHOWN_SECONDS:
        note = f"Measured {readable.age(gpu.figures_at)} ago."
    gauges = _gauges(figures) if figures else []
    return Machine(name=str(gpu), address=page_of(gpu), gauges=gauges, note=note, places=places)


def _gauges(figures: dict[str, Any]) -> list[Gauge]:
    used, total = figures["memory_used"], figures["memory_total"]
    full = round(100 * used / total) if total else 0
    load, heat, power = round(figures["utilization"]), round(figures["temperature"]), figures["power_watts"]
    memory = readable.gpu_memory(used, total)
    return [
        Gauge(name="Load", percent=load, says=f"{load} %, {power:.0f} W"),
        Gauge(name="Memory", percent=full, says=memory, is_high=full >= NEARLY_ALL_PERCENT),
        Gauge(name="Temperature", percent=min(heat, 100), says=f"{heat} °C", is_high=heat >= HOT_CELSIUS),
    ]


def _place(slot: Slot, rows: Rows) -> Place:
    level, word = state_of(slot, rows)
    held = rows.on_slot(slot.name)
    return Place(
        name=slot.name,
        address=page_of(slot),
        kind=kind_title(slot.kind),
        level=level,
        word=word,
        trouble=trouble_of(slot, rows),
        heartbeat=f"{readable.age(slot.heartbeat_at)} ago",
        worker=_worker(slot),
        engine=readable.shortened(slot.engine, 60),
        load=f"{len(held)} of {slot.capacity}",
        holders=[(job.pk, page_of(job)) for job in held],
    )


def _worker(slot: Slot) -> str:
    host, pid = slot.worker.get("host"), slot.worker.get("pid")
    return f"{host}, process {pid}" if host and pid else "unknown"
