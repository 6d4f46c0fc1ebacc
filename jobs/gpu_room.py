"""Before a run starts on an exclusive GPU, the idle engines of other kinds give back what they hold of its memory."""

from collections.abc import Iterator

from jobs import kinds, turns
from jobs.events import Controls, Event
from jobs.models import Job, Slot


def make_room(job: Job, controls: Controls) -> Iterator[Event]:
    """Ask them one after the other; yields as engines do. What is not freed is told in the log and stops nobody."""
    if not turns.is_exclusive() or job.gpu is None:
        return
    for slot in job.gpu.slots.exclude(kind=job.kind).order_by("name"):
        if not controls.is_draining:
            yield from kinds.get(slot.kind).free_gpu(slot)
            Slot.objects.filter(pk=slot.pk).update(loaded="")
