"""Finds claims whose worker is dead, stops what it left behind, and gives the jobs back."""

import logging
import time
from typing import Any

from jobs import bell, files, identity, kinds, log, losses, transitions
from jobs.models import Job, JobQuerySet, Slot
from jobs.narrator import announce_end
from jobs.progress.writer import nudge
from jobs.runner import MAX_CRASHES

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 60.0

# Job id → the heartbeat counter as first seen, and when, by this process's own clock: clock steps expire nothing.
_seen: dict[str, tuple[str, int, float]] = {}


def reap() -> int:
    """End the claims of dead workers; return how many.

    A host whose workers live reaps for itself, since only it can see its processes.
    """
    held = list(Job.objects.held().select_related("gpu"))
    for gone in _seen.keys() - {job.pk for job in held}:
        _seen.pop(gone, None)
    return sum(_reap_one(job) for job in held if _is_ours_to_judge(job))


def _worker_of(job: Job) -> dict[str, Any]:
    return dict((job.holder or {}).get("worker", {}))


def _is_ours_to_judge(job: Job) -> bool:
    if identity.is_visible_from_here(_worker_of(job)) or identity.is_certainly_gone(_worker_of(job)):
        return True
    slot = Slot.objects.filter(pk=job.slot).first()
    # A container that was replaced serves the same slot as another process, which cannot see the old one either.
    return slot is None or not slot.is_served() or slot.worker != _worker_of(job)


def _reap_one(job: Job) -> bool:
    if identity.is_certainly_gone(_worker_of(job)):
        return _end_claim(job, "its worker process died")
    if _silent_for(job) >= SILENCE_SECONDS:
        return _end_claim(job, f"its worker gave no sign of life for {SILENCE_SECONDS:.0f} s")
    return False


def _silent_for(job: Job) -> float:
    now = time.monotonic()
    token, beat, since = _seen.get(job.pk, ("", -1, now))
    if (token, beat) != (job.token, job.heartbeat):
        _seen[job.pk] = (job.token, job.heartbeat, now)
        return 0.0
    return now - since


def _end_claim(job: Job, why: str) -> bool:
    """Stop what is left, then move the row, unless its worker came back to life in between."""
    if not kinds.get(job.kind).stop_leftover(job):
        logger.warning("A dead worker's engine is not gone yet", extra={"job": job.pk})
        return False
    rows = Job.objects.filter(pk=job.pk, token=job.token, heartbeat=job.heartbeat)
    if transitions.release(rows):
        _finish_ended(job)
    elif job.crashes + 1 >= MAX_CRASHES:
        return _give_up(job, rows, why)
    elif not transitions.give_back(rows, message=f"Waiting to go on: {why}", crashes=1):
        return False
    logger.warning("Job reaped: %s", why, extra={"job": job.pk, "attempt": job.attempt})
    log.write(job.pk, f"Attempt {job.attempt} ended: {why}", event="job.reaped", level="WARNING")
    nudge(job.pk)
    bell.ring(job.kind)
    return True


def _give_up(job: Job, rows: JobQuerySet, why: str) -> bool:
    reason = f"Gave up after {MAX_CRASHES} crashes without a new checkpoint in between; the last time {why}."
    facts = {"crashes": job.crashes + 1, "failure_cause": "worker_died"}
    if not transitions.fail(rows, reason, **facts, **transitions.UNCLAIMED):
        return False
    job.refresh_from_db()
    log.write(job.pk, reason, event="job.failed", level="ERROR")
    announce_end(job)
    _finish_ended(job)
    return True


def _finish_ended(job: Job) -> None:
    files.remove_workspace(job.pk)
    losses.archive(job)
    log.archive(job)
