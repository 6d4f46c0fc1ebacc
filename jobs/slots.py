"""Which slot takes work next, and which one is left alone because its engine is away or fails."""

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from jobs import disk_room, kinds
from jobs.models import Job, Slot
from jobs.transitions import Claim

logger = logging.getLogger(__name__)

FAILURES_BEFORE_PAUSE = 3
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=10)
# Longer than a restart takes. What an engine still holds that has been out of reach for so long waits for its return.
ABANDONED_AFTER = timedelta(seconds=45)


def in_order_of_choice(kind: kinds.JobKind, names: Iterable[str]) -> list[Slot]:
    """Return the slots that may take the best waiting job, the best first.

    Idle ones go first, among them those whose engine has loaded what the job needs. Those whose engine did not answer
    come last: it may be back. Which job goes first is not decided here.
    """
    slots = list(Slot.objects.filter(name__in=list(names)))
    held = Job.objects.held().filter(slot__in=[slot.name for slot in slots]).order_by()
    load = dict(held.values_list("slot").annotate(Count("pk")))
    wanted = _wanted(kind)
    willing = [slot for slot in slots if not is_drained(slot) and not is_paused(slot)]
    open_slots = [slot for slot in willing if load.get(slot.name, 0) < slot.capacity]
    return sorted(
        open_slots,
        key=lambda slot: (slot.away_since is not None, load.get(slot.name, 0), slot.loaded != wanted, slot.name),
    )


def _wanted(kind: kinds.JobKind) -> str:
    best = Job.objects.waiting(kind.name).first()
    return kind.affinity(best) if best is not None else ""


def is_paused(slot: Slot) -> bool:
    left = slot.paused_until - timezone.now() if slot.paused_until else timedelta()
    # A pause that lasts longer than any was written by another clock.
    return timedelta() < left <= LONGEST_PAUSE


def is_drained(slot: Slot) -> bool:
    """Return whether an operator wants the slot empty."""
    return slot.drained_since is not None


def takes_work(slot: Slot) -> bool:
    """Return whether a living worker serves the slot, nobody drains it, and its engine is neither away nor failing."""
    return slot.is_served() and not is_drained(slot) and slot.away_since is None and not is_paused(slot)


def lock(rows: QuerySet[Slot]) -> list[Slot]:
    """Return the slots, once the claims under way on them have ended; others wait for the transaction's end.

    What is changed in it holds for every claim from then on.
    """
    return list(rows.select_for_update().order_by("pk"))


def note_claim(claim: Claim) -> None:
    """Remember what the slot's engine is about to load."""
    job = Job.objects.get(pk=claim.job_id)
    Slot.objects.filter(pk=claim.slot).update(loaded=kinds.get(claim.kind).affinity(job)[:100])


def note_success(name: str) -> None:
    Slot.objects.filter(pk=name, failures__gt=0).update(failures=0, paused_until=None, trouble="")


@transaction.atomic
def note_failure(name: str, reason: str) -> None:
    """Count a failure of the slot's engine. From the third in a row on it takes no work for a growing while."""
    slot = Slot.objects.select_for_update().filter(pk=name).first()
    if slot is None:
        return
    slot.failures = min(slot.failures + 1, 1000)
    slot.trouble = reason[:300]
    if slot.failures >= FAILURES_BEFORE_PAUSE:
        doublings = min(slot.failures - FAILURES_BEFORE_PAUSE, 10)
        pause = min(FIRST_PAUSE * 2**doublings, LONGEST_PAUSE)
        slot.paused_until = timezone.now() + pause
        logger.warning("%s failed %d times in a row and pauses for %s: %s", name, slot.failures, pause, reason)
    slot.save(update_fields=["failures", "trouble", "paused_until"])


def note_away(slot: Slot) -> None:
    """Record that the slot's engine does not answer, from the first time on."""
    if slot.away_since is None and Slot.objects.filter(pk=slot.pk, away_since=None).update(away_since=timezone.now()):
        logger.warning("The engine of %s does not answer: it takes no work", slot.name)


def note_back(slot: Slot) -> None:
    if slot.away_since is not None and Slot.objects.filter(pk=slot.pk).update(away_since=None):
        logger.info("The engine of %s answers again", slot.name)


def answers(kind: kinds.JobKind, slot: Slot) -> bool:
    """Return whether the slot's engine would take work now, and record it."""
    if not kind.is_ready(slot):
        note_away(slot)
        return False
    if slot.away_since is not None:
        kind.welcome_back(slot)
        note_back(slot)
    return True


def note_absence(claim: Claim, kind: kinds.JobKind, reason: str) -> bool:
    """Record that a run found its engine out of reach; return whether another slot may go on with its job."""
    slot = Slot.objects.filter(pk=claim.slot).first()
    if slot is not None and answers(kind, slot):
        # It is there, and does not do its work.
        note_failure(slot.name, reason)
    return has_other(claim.kind, than=[claim.slot])


def is_abandoned(name: str) -> bool:
    """Return whether the slot's engine has been out of reach for so long that nobody waits for what it holds."""
    since = Slot.objects.filter(pk=name).values_list("away_since", flat=True).first()
    # A moment in the future was written before the clock was set back; nobody knows any more how long ago that is.
    return since is not None and abs(timezone.now() - since) > ABANDONED_AFTER


def trouble_of(slot: Slot) -> str:
    """Return why the slot takes no work although it is served; "" where it does."""
    if slot.drained_since is not None:
        return f"is drained since {slot.drained_since:%Y-%m-%d %H:%M:%S} UTC: an operator lets it take no work"
    if is_paused(slot):
        until = f"{slot.paused_until:%H:%M:%S} UTC"
        return f"pauses until {until} after {slot.failures} failures in a row, the last: {slot.trouble}"
    if slot.away_since is not None:
        return f"does not answer since {slot.away_since:%Y-%m-%d %H:%M:%S} UTC"
    return disk_room.trouble_of(slot)


def has_other(kind: str, *, than: Iterable[str]) -> bool:
    """Return whether a living worker serves another slot of the kind that takes work."""
    others = Slot.objects.filter(kind=kind).exclude(name__in=list(than))
    return any(takes_work(slot) for slot in others)


def leave_to_others(claim: Claim) -> bool:
    """Record that the engine of this slot could not do the job; return whether there is another one to try."""
    before = claim.own().values_list("failed_slots", flat=True).first() or []
    failed = sorted({*before, claim.slot})
    claim.own().update(failed_slots=failed)
    return has_other(claim.kind, than=failed)


def jobs_to_leave(slot: Slot) -> list[str]:
    """Return the waiting jobs that this slot's engine could not do, as long as another one may."""
    tried = Job.objects.waiting(slot.kind).exclude(Q(failed_slots=[]))
    return [
        job_id
        for job_id, failed in tried.values_list("pk", "failed_slots")
        if slot.name in failed and has_other(slot.kind, than=failed)
    ]
