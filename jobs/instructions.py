"""What people ask of a running engine: a row that the run's heartbeat takes, once, and that goes when it is done."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Literal, get_args

from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from jobs import log
from jobs.events import Controls
from jobs.models import Instruction, Job, Slot, Status
from jobs.transitions import Claim

logger = logging.getLogger(__name__)

Verb = Literal["save", "sample", "yield", "drain"]
VERBS: tuple[Verb, ...] = get_args(Verb)


class NotRunning(Exception):
    """There is no engine that could do it; the text says so in words."""


def give(job: Job, verb: Verb) -> Job:
    """Ask, if nobody has asked yet; return the job as it is now. Raises NotRunning, and Job.DoesNotExist."""
    with transaction.atomic():
        # Locked, so that two who ask at once ask once.
        asked = Job.objects.select_for_update().get(pk=job.pk)
        if asked.status != Status.RUNNING:
            raise NotRunning(f"Cannot {verb}: the job is {asked.status}, not running.")
        _, is_new = Instruction.objects.get_or_create(job=asked, verb=verb, taken_at=None)
    if is_new:
        logger.info("Asked to %s", verb, extra={"job": job.pk})
    return asked


def give_to_leave(jobs: Iterable[Job]) -> None:
    """Ask the runs to leave their slots, also those that only lie in their engine's queue."""
    for job in jobs:
        Instruction.objects.get_or_create(job=job, verb="drain", taken_at=None)


def take(claim: Claim, controls: Controls) -> None:
    """Pass on what was asked for since the last time. Only the claim's holder gets it, and only once."""
    open_ones = Instruction.objects.filter(job_id=claim.job_id, taken_at=None)
    for instruction in open_ones.filter(job__token=claim.token):
        if instruction.verb == "drain":
            _take_drain(instruction, claim, controls)
        elif Instruction.objects.filter(pk=instruction.pk, taken_at=None).update(taken_at=timezone.now()):
            _pass_on(instruction.verb, controls)


def _take_drain(instruction: Instruction, claim: Claim, controls: Controls) -> None:
    """It is about a slot: a later attempt elsewhere, or one after the slot was opened again, does not heed it."""
    if Slot.objects.filter(pk=claim.slot, drained_since__isnull=False).exists():
        controls.ask_to_leave()
    instruction.delete()


def _pass_on(verb: str, controls: Controls) -> None:
    match verb:
        case "save":
            controls.ask_to_save()
        case "sample":
            controls.ask_to_sample()
        case "yield":
            controls.ask_to_yield()


def obeyed(claim: Claim, verb: Verb) -> None:
    """What was asked for is done."""
    try:
        Instruction.objects.filter(job_id=claim.job_id, verb=verb, taken_at__isnull=False).delete()
    except DatabaseError as exc:
        logger.warning("An instruction that was done stays in the database: %s", exc)


def drop_unfinished(job_id: str) -> None:
    """Log and forget what an attempt took and did not come to do: the next attempt does not do it unasked."""
    _drop(job_id, Instruction.objects.filter(job_id=job_id, taken_at__isnull=False))


def drop_all(job_id: str) -> None:
    """The same for a job that has ended, with what was not even taken."""
    _drop(job_id, Instruction.objects.filter(job_id=job_id))


def _drop(job_id: str, instructions: QuerySet[Instruction]) -> None:
    for instruction in instructions.exclude(verb="drain"):
        text = f"What was asked for was not done before the attempt ended: {instruction.verb}."
        log.write(job_id, text, event="job.instruction_dropped", level="WARNING")
        instruction.delete()
    # That a slot was to be emptied is no wish about the job: it left, one way or the other.
    instructions.filter(verb="drain").delete()
