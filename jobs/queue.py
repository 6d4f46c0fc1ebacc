"""Which job starts next, and where."""

import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from jobs import bell, kinds, transitions
from jobs.models import GpuLease, Job, QueueState, Slot
from jobs.transitions import Claim

logger = logging.getLogger(__name__)


def submit(job: Job) -> Job:
    """Record the job and ring once the row is committed. Without Redis it stays `pending` until the sweep rings."""
    job.save(force_insert=True)
    transaction.on_commit(lambda: _ring_for(job))
    return job


def _ring_for(job: Job) -> None:
    if bell.ring(job.kind):
        transitions.mark_rung(job.pk)
        job.refresh_from_db()


def is_paused(kind: str) -> bool:
    return QueueState.objects.filter(pk=kind, is_paused=True).exists()


def set_paused(kind: str, *, is_paused: bool) -> None:
    QueueState.objects.update_or_create(pk=kind, defaults={"is_paused": is_paused})
    if not is_paused:
        bell.ring(kind)


def claim_next(kind_name: str, slot_name: str, worker: Mapping[str, Any]) -> Claim | None:
    """Claim the best waiting row of a kind for a slot; None where there is none, or the slot or its GPU is taken."""
    # A look without a lock first: most rings find nothing, and on SQLite a transaction would hold up every writer.
    if not Job.objects.waiting(kind_name).exists():
        return None
    with transaction.atomic():
        slot = Slot.objects.select_for_update().get(pk=slot_name)
        gpu = GpuLease.objects.select_for_update().get(pk=slot.gpu_id)
        if is_paused(kind_name) or not _has_room(slot):
            return None
        best = _best_waiting(kind_name)
        if best is None or not _may_use(gpu, slot, best):
            return None
        starts_at_once = kinds.get(kind_name).starts_at_claim
        return transitions.claim(best, slot, worker, starts_at_once=starts_at_once)


def _has_room(slot: Slot) -> bool:
    return Job.objects.held().filter(slot=slot.name).count() < slot.capacity


def _best_waiting(kind: str) -> Job | None:
    rows = Job.objects.waiting(kind)
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True)
    return rows.first()


def _may_use(gpu: GpuLease, slot: Slot, job: Job) -> bool:
    """In exclusive mode one kind at a time has a GPU, and a better job of another kind is let through first."""
    if settings.GPU_SHARING == "shared":
        return True
    if Job.objects.held().filter(gpu=gpu).exclude(kind=job.kind).exists():
        return False
    return not any(_goes_first(other, job) for other in _rival_jobs(gpu, slot))


def _rival_jobs(gpu: GpuLease, slot: Slot) -> list[Job]:
    """Return the best waiting job of each other kind that a living worker would start on this GPU."""
    rivals = {other.kind for other in gpu.slots.exclude(kind=slot.kind) if other.is_served()}
    waiting = [Job.objects.waiting(kind).first() for kind in rivals if not is_paused(kind)]
    return [job for job in waiting if job is not None]


def _goes_first(one: Job, other: Job) -> bool:
    return (-one.priority, one.created_at) < (-other.priority, other.created_at)


def positions(jobs: list[Job]) -> dict[str, int]:
    """Return the place in its kind's queue, from 1, of each of `jobs` that waits unclaimed."""
    places: dict[str, int] = {}
    for kind in {job.kind for job in jobs if not job.is_terminal and not job.token}:
        ids = Job.objects.waiting(kind).values_list("pk", flat=True)
        places.update({pk: place for place, pk in enumerate(ids, start=1)})
    return {job.pk: places[job.pk] for job in jobs if job.pk in places}


def sweep() -> None:
    """Ring where rows wait, a slot is idle and no ring is under way: whatever lost a ring, this finds it."""
    for kind in kinds.names():
        waiting = Job.objects.waiting(kind).count()
        if waiting and not is_paused(kind) and bell.is_silent(kind):
            rings = min(waiting, _idle_capacity(kind))
            if all(bell.ring(kind) for _ in range(rings)) and rings:
                transitions.mark_all_rung(kind)


def _idle_capacity(kind: str) -> int:
    now = timezone.now()
    served = [slot for slot in Slot.objects.filter(kind=kind) if slot.is_served(now)]
    held = Job.objects.held().filter(slot__in=[slot.name for slot in served]).count()
    return max(0, sum(slot.capacity for slot in served) - held)
