"""The queue of each kind at a glance: what waits, what runs, and who serves it."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q
from django.utils import timezone

from jobs import kinds
from jobs.models import LIVE, WAITING, Job, QueueState, Slot, Status

UNCLAIMED = Q(status__in=WAITING, token="")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHolding:
    gpu: str
    job_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOverview:
    """`claimed` jobs lie in an engine's own queue. `stopping` ones have ended, but their engine is not gone yet."""

    kind: str
    is_paused: bool = False
    waiting: int = 0
    claimed: int = 0
    running: int = 0
    stopping: int = 0
    oldest_waiting_at: datetime | None = None
    served_slots: tuple[str, ...] = ()
    silent_slots: tuple[str, ...] = ()
    drained_slots: tuple[str, ...] = ()
    holdings: tuple[GpuHolding, ...] = ()


def queue_overviews() -> list[QueueOverview]:
    """Return one for each registered kind, in a number of queries that does not grow with the jobs."""
    paused = set(QueueState.objects.filter(is_paused=True).values_list("kind", flat=True))
    counts, slots, drained, holdings = _counts(), _slots(), _drained_slots(), _holdings()
    return [
        QueueOverview(
            kind=kind,
            is_paused=kind in paused,
            served_slots=tuple(slots[kind, True]),
            silent_slots=tuple(slots[kind, False]),
            drained_slots=tuple(drained[kind]),
            holdings=tuple(holdings[kind]),
            **counts.get(kind, {}),
        )
        for kind in kinds.names()
    ]


def _counts() -> dict[str, dict[str, Any]]:
    unfinished = Job.objects.filter(Q(status__in=LIVE) | Q(holder__isnull=False)).order_by()
    rows: Any = unfinished.values("kind").annotate(
        waiting=Count("pk", filter=UNCLAIMED),
        claimed=Count("pk", filter=Q(status__in=WAITING) & ~Q(token="")),
        running=Count("pk", filter=Q(status=Status.RUNNING)),
        stopping=Count("pk", filter=~Q(status__in=LIVE)),
        oldest_waiting_at=Min("created_at", filter=UNCLAIMED),
    )
    return {row.pop("kind"): row for row in rows}


def _slots() -> dict[tuple[str, bool], list[str]]:
    found: dict[tuple[str, bool], list[str]] = defaultdict(list)
    now = timezone.now()
    for slot in Slot.objects.order_by("name"):
        found[slot.kind, slot.is_served(now)].append(slot.name)
    return found


def _drained_slots() -> dict[str, list[str]]:
    """Return those that an operator empties, whether served or not."""
    found: dict[str, list[str]] = defaultdict(list)
    for kind, name in Slot.objects.exclude(drained_since=None).order_by("name").values_list("kind", "name"):
        found[kind].append(name)
    return found


def _holdings() -> dict[str, list[GpuHolding]]:
    found: dict[str, list[GpuHolding]] = defaultdict(list)
    for job in Job.objects.held().select_related("gpu").order_by("created_at", "id"):
        gpu = str(job.gpu) if job.gpu else "no GPU"
        found[job.kind].append(GpuHolding(gpu=gpu, job_id=job.pk, status=job.status))
    return found
