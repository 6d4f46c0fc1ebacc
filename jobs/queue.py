"""Which job starts next, and where."""

import logging
from collections.abc import Mapping
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Q, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from jobs import admission, bell, disk_room, kinds, slots, transitions, turns, windows
from jobs.models import GpuLease, Job, QueueState, Slot
from jobs.patience import is_away, until_told
from jobs.transitions import Claim

logger = logging.getLogger(__name__)


def submit(job: Job) -> Job:
    """Record the job and ring once the row is committed. Without Redis it stays `pending` until the sweep rings.

    Raises QueueFull.
    """
    admission.refuse_if_full(job.kind)
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
    """Once this has returned, no claim is made that did not see it."""
    with transaction.atomic():
        slots.lock(Slot.objects.filter(kind=kind))
        QueueState.objects.update_or_create(pk=kind, defaults={"is_paused": is_paused})
    if not is_paused:
        ring_for_waiting(kind)


def claim_next(kind_name: str, slot_name: str, worker: Mapping[str, Any]) -> Claim | None:
    """Claim the best waiting row of a kind for a slot; None where there is none, or the slot or its GPU is taken."""
    # A look without a lock first: most rings find nothing, and on SQLite a transaction would hold up every writer.
    if not Job.objects.waiting(kind_name).exists():
        return None
    token = transitions.new_token()
    try:
        return _claim_best(kind_name, slot_name, worker, token=token)
    except DatabaseError as exc:
        # The claim may stand although nobody told: unless this worker goes on with it, it counts as a crash of the job.
        claim = until_told(lambda: _claim_with(token, slot_name)) if is_away(exc) else None
        if claim is None:
            raise
        return claim


def _claim_best(kind_name: str, slot_name: str, worker: Mapping[str, Any], *, token: str) -> Claim | None:
    with transaction.atomic():
        slot = Slot.objects.select_for_update().get(pk=slot_name)
        gpu = GpuLease.objects.select_for_update().get(pk=slot.gpu_id)
        if slots.is_drained(slot) or is_paused(kind_name) or not _has_room(slot):
            return None
        best = _best_waiting(slot)
        if best is None or not turns.may_use(gpu, best):
            return None
        kind = kinds.get(kind_name)
        if kind.makes_room:
            windows.end(gpu)
        return transitions.claim(best, slot, worker, starts_at_once=kind.starts_at_claim, token=token)


@transaction.atomic
def _claim_with(token: str, slot_name: str) -> Claim | None:
    # A transaction whose answer was lost may still be under way on the server: it holds the slot until its end.
    slots.lock(Slot.objects.filter(pk=slot_name))
    job = Job.objects.filter(token=token).first()
    return Claim(job.pk, job.kind, job.attempt, token, slot_name) if job is not None else None


def _has_room(slot: Slot) -> bool:
    return Job.objects.held().filter(slot=slot.name).count() < slot.capacity


def _best_waiting(slot: Slot) -> Job | None:
    rows = Job.objects.waiting(slot.kind).exclude(pk__in=slots.jobs_to_leave(slot))
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True)
    return disk_room.best_with_room(rows, slot)


def positions(jobs: list[Job]) -> dict[str, int]:
    """Return the place in its kind's queue, from 1, of each of `jobs` that waits unclaimed."""
    places: dict[str, int] = {}
    wanted = [job for job in jobs if not job.is_terminal and not job.token]
    for kind in {job.kind for job in wanted}:
        place = Window(RowNumber(), order_by=["-priority", "created_at", "id"])
        numbered = Job.objects.waiting(kind).annotate(place=place).order_by()
        # Said together with the place, or the others would be left out before it is counted.
        ours = numbered.filter(Q(place__lt=1) | Q(pk__in=[job.pk for job in wanted]))
        places.update(ours.values_list("pk", "place"))
    return places


def sweep() -> None:
    """Ring where rows wait, a slot is idle and no ring is under way: whatever lost a ring, this finds it."""
    for kind in kinds.names():
        if not is_paused(kind) and bell.is_silent(kind):
            ring_for_waiting(kind)


def ring_for_waiting(kind: str) -> None:
    """Ring once for each waiting job that could start now."""
    rings = min(Job.objects.waiting(kind).count(), _idle_capacity(kind))
    if all(bell.ring(kind) for _ in range(rings)) and rings:
        transitions.mark_all_rung(kind)


def _idle_capacity(kind: str) -> int:
    now = timezone.now()
    served = [slot for slot in Slot.objects.filter(kind=kind, drained_since=None) if slot.is_served(now)]
    held = Job.objects.held().filter(slot__in=[slot.name for slot in served]).count()
    return max(0, sum(slot.capacity for slot in served) - held)
