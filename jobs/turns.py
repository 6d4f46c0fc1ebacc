"""One GPU, several kinds of jobs: who has it next."""

from datetime import datetime

from django.conf import settings

from jobs import disk_room, kinds, slots
from jobs.models import GpuLease, Job, QueueState, Slot

Rank = tuple[int, bool, datetime, str]


def is_exclusive() -> bool:
    """Return whether a GPU does one kind of work at a time."""
    return bool(settings.GPU_SHARING == "exclusive")


def may_use(gpu: GpuLease, job: Job) -> bool:
    """In exclusive mode one kind at a time has a GPU, and a better job of another kind is let through first."""
    if not is_exclusive():
        return True
    if Job.objects.held().filter(gpu=gpu).exclude(kind=job.kind).exists():
        return False
    has_window = gpu.has_window()
    own = _rank(job, has_window=has_window)
    return not any(_rank(rival, has_window=has_window) < own for rival in rivals(gpu, job.kind))


def rivals(gpu: GpuLease, kind: str) -> list[Job]:
    """Return the best waiting jobs of the other kinds, one for each slot that would start it on this GPU."""
    others = [slot for slot in gpu.slots.exclude(kind=kind) if slots.takes_work(slot)]
    paused = set(QueueState.objects.filter(is_paused=True).values_list("kind", flat=True))
    waiting = [_best_for(slot) for slot in others if slot.kind not in paused]
    return [job for job in waiting if job is not None]


def _best_for(slot: Slot) -> Job | None:
    return disk_room.best_with_room(Job.objects.waiting(slot.kind).exclude(pk__in=slots.jobs_to_leave(slot)), slot)


def _rank(job: Job, *, has_window: bool) -> Rank:
    """Order by priority and age. In a window the kinds that made room come last among equal priorities."""
    return -job.priority, has_window and kinds.get(job.kind).makes_room, job.created_at, job.pk
