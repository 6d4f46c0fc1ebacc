"""Draining: slots that an operator empties. They claim nothing more, and what runs there saves itself and leaves.

All of it is in the rows, so that it works from any machine and outlives every process.
"""

import logging
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from jobs import instructions, queue, slots
from jobs.models import Instruction, Job, JobQuerySet, Slot

logger = logging.getLogger(__name__)


def find_slots(*, name: str = "", host: str = "", kind: str = "") -> QuerySet[Slot]:
    """Return those that fit all that is given. A slot is on the host of its GPU, and on that of its worker."""
    found = Slot.objects.order_by("name")
    if name:
        found = found.filter(name=name)
    if host:
        found = found.filter(Q(gpu__host=host) | Q(worker__host=host))
    return found.filter(kind=kind) if kind else found


def drain(names: Sequence[str], *, lets_finish: bool = False) -> None:
    """Let the slots claim nothing more; ask what runs there to save and leave, unless it may come to its end."""
    with transaction.atomic():
        # Claims that are under way come first, so that `at_work` has every one there will be.
        slots.lock(Slot.objects.filter(pk__in=names))
        Slot.objects.filter(pk__in=names, drained_since=None).update(drained_since=timezone.now())
        if not lets_finish:
            instructions.give_to_leave(at_work(names).live())
    logger.info("Draining %s", ", ".join(names))


def resume(names: Sequence[str]) -> None:
    """Let the slots take work again, and ring for what waits. What was asked to leave and did not hear it yet stays."""
    with transaction.atomic():
        opened = slots.lock(Slot.objects.filter(pk__in=names))
        Slot.objects.filter(pk__in=names).update(drained_since=None)
        Instruction.objects.filter(job__slot__in=names, verb="drain").delete()
    logger.info("Taking work again: %s", ", ".join(names))
    for kind in sorted({slot.kind for slot in opened}):
        queue.ring_for_waiting(kind)


def at_work(names: Sequence[str]) -> JobQuerySet:
    """Return the jobs whose engine may still be at work in one of the slots."""
    return Job.objects.held().filter(slot__in=names).order_by("slot", "created_at", "id")
