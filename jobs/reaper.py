"""Finds claims whose worker is dead, stops what it left behind, and gives the jobs back."""

import logging
import time
from contextlib import suppress
from typing import Any

from django.db import DatabaseError, transaction

from jobs import bell, files, identity, kinds, log, losses, slots, transitions
from jobs.attempts import Ending, Outcome
from jobs.giving_up import MAX_CRASHES, last_words
from jobs.lease import TOLD_TO_STOP
from jobs.models import Job, JobQuerySet, Slot
from jobs.narrator import announce_end, announce_return
from jobs.patience import is_away
from jobs.surprises import tell_once

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 60.0
# Every few seconds it looks. Who did not for so long had a reason, such as a database that was away, and then nobody
# could beat either.
LONGEST_GAP_SECONDS = 20.0

# Job id → the heartbeat counter as first seen, and when, by this process's own clock: clock steps expire nothing.
_seen: dict[str, tuple[str, int, float]] = {}
_last_look = float("-inf")


def reap() -> int:
    """End the claims of dead workers; return how many.

    A host whose workers live reaps for itself, since only it can see its processes.
    """
    held = _held()
    for gone in _seen.keys() - {job.pk for job in held}:
        _seen.pop(gone, None)
    return sum(_reap_if_ours(job) for job in held)


def _held() -> list[Job]:
    """Return who holds a job, if a worker could beat now: none has been silent while no write could get through.

    On SQLite the transaction itself waits for whoever has locked the database.
    """
    _forget_after_gap()
    try:
        with transaction.atomic():
            return list(Job.objects.held().select_related("gpu"))
    except DatabaseError:
        _seen.clear()
        raise


def _forget_after_gap() -> None:
    global _last_look
    now = time.monotonic()
    if now - _last_look > LONGEST_GAP_SECONDS:
        _seen.clear()
    _last_look = now


def _reap_if_ours(job: Job) -> bool:
    """One row that cannot be judged, such as one of a kind that only a later release knows, keeps nobody waiting."""
    try:
        return _is_ours_to_judge(job) and _reap_one(job)
    except Exception as exc:
        if is_away(exc):
            raise
        tell_once(logger, f"Reaping {job.pk}", exc)
        return False


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
    # A worker that was told to stop, and was killed before it was done, has not crashed.
    crashes = 0 if (job.holder or {}).get(TOLD_TO_STOP) else 1
    if transitions.release(rows, reason=f"It was stopping when {why}"):
        _finish_ended(job)
    elif job.crashes + crashes >= MAX_CRASHES:
        return _give_up(job, rows, why)
    elif not _give_back(job, rows, why, crashes=crashes):
        return False
    logger.warning("Job reaped: %s", why, extra={"job": job.pk, "attempt": job.attempt})
    log.write(job.pk, f"Attempt {job.attempt} ended: {why}", event="job.reaped", level="WARNING")
    announce_return(job.pk)
    bell.ring(job.kind)
    return True


def _give_back(job: Job, rows: JobQuerySet, why: str, *, crashes: int) -> bool:
    if crashes and job.crashes + crashes == MAX_CRASHES - 1:
        # Whether it is the job or the place, the last attempt tells, if there is another place.
        slots.leave_to_others(transitions.Claim(job.pk, job.kind, job.attempt, job.token, job.slot))
    return transitions.give_back(rows, message=f"Waiting to go on: {why}", reason=why, crashes=crashes)


def _give_up(job: Job, rows: JobQuerySet, why: str) -> bool:
    reason = last_words(job, f"{why}, as it does when the machine runs out of memory")
    facts = {"crashes": job.crashes + 1, "failure_cause": "worker_died"}
    ending = Ending(Outcome.CRASHED, why)
    if not transitions.fail(rows, reason, ending=ending, **facts, **transitions.UNCLAIMED):
        return False
    job.refresh_from_db()
    log.write(job.pk, reason, event="job.failed", level="ERROR")
    announce_end(job)
    _finish_ended(job)
    return True


def _finish_ended(job: Job) -> None:
    files.remove_workspace(job.pk)
    # A storage that is full must not keep the others unreaped; `tasks.reap` archives what is left.
    with suppress(OSError):
        losses.archive(job)
        log.archive(job)
