"""Room on the disk for what a job will write: a job waits for it, rather than fail after hours."""

from collections.abc import Sequence

from django.conf import settings

from characters import disk
from jobs import files, kinds, readable
from jobs.models import Job, JobQuerySet, Slot

# Among so many waiting jobs one is looked for that has room, where the best has none.
SEARCHED = 200


def measured_bytes() -> int | None:
    """Return what is free where this machine's jobs write; None where nobody can tell."""
    try:
        return disk.free_bytes(files.workspace("any").parent)
    except OSError:
        return None


def best_with_room(rows: JobQuerySet, slot: Slot) -> Job | None:
    """Return the first of `rows` that has room where the slot's worker writes."""
    if slot.free_bytes is not None and disk.is_low(slot.free_bytes):
        return None
    best = rows.first()
    if best is None or _has_room(slot, best):
        return best
    return next((job for job in rows[:SEARCHED] if _has_room(slot, job)), None)


def lack_of(job: Job, slots: Sequence[Slot]) -> str:
    """Say how much is missing where none of the slots has room for the job; "" where one has."""
    if not slots or any(_has_room(slot, job) for slot in slots):
        return ""
    free_bytes = max(slot.free_bytes or 0 for slot in slots)
    needed = readable.size(settings.MIN_FREE_BYTES + _needed_bytes(job))
    return f"Waiting for disk space: {readable.size(free_bytes)} are free, {needed} are needed"


def trouble_of(slot: Slot) -> str:
    """Return why the slot takes no job at all; "" where it may."""
    if slot.free_bytes is None or not disk.is_low(slot.free_bytes):
        return ""
    return f"has only {readable.size(slot.free_bytes)} free where its jobs write"


def _has_room(slot: Slot, job: Job) -> bool:
    return slot.free_bytes is None or not disk.is_low(slot.free_bytes, more_bytes=_needed_bytes(job))


def _needed_bytes(job: Job) -> int:
    try:
        return kinds.get(job.kind).disk_bytes(job)
    except (LookupError, TypeError, ValueError):
        # A row that cannot be read must not keep the others waiting: its own run says what is wrong with it.
        return 0
