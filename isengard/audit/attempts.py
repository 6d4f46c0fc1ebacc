"""Attempts of a job: closed when nobody holds it, and one after the other."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from django.db.models import F, Q
from django.utils import timezone

from isengard.audit.finding import Finding
from jobs.models import Attempt, Status

# Two hosts' clocks may differ by so much.
TOLERANCE = timedelta(seconds=5)
OUTCOMES: dict[str, str] = {
    Status.COMPLETED: Attempt.Outcome.COMPLETED,
    Status.FAILED: Attempt.Outcome.FAILED,
    Status.CANCELLED: Attempt.Outcome.CANCELLED,
}


def check_attempts() -> Iterator[Finding]:
    for attempt in _forgotten().select_related("job"):
        yield Finding(
            code="forgotten_attempt",
            subject=attempt.job_id,
            text=f"Its attempt {attempt.number} is open, and nobody is at work on that.",
            advice="`--repair` closes it.",
            is_still_so=partial(_is_forgotten, attempt),
            repair=partial(_close, attempt),
        )
    for job_id, number in _overlapping():
        yield Finding(
            code="overlapping_attempts",
            subject=job_id,
            text=f"Its attempt {number} began before the one before it had ended: two workers were at it.",
            advice="Compare its outputs and its log; nothing of the earlier attempt may have been published since.",
            is_still_so=lambda: True,
        )


def _forgotten() -> Any:
    is_over = Q(job__holder__isnull=True) | ~Q(number=F("job__attempt"))
    return Attempt.objects.filter(is_over, ended_at=None)


def _is_forgotten(attempt: Attempt) -> bool:
    return bool(_forgotten().filter(pk=attempt.pk).exists())


def _close(attempt: Attempt) -> None:
    outcome = OUTCOMES.get(attempt.job.status, Attempt.Outcome.CRASHED)
    closed = {"ended_at": timezone.now(), "outcome": outcome, "reason": "Nobody had closed it"}
    Attempt.objects.filter(pk=attempt.pk, ended_at=None).update(**closed)


def _overlapping() -> Iterator[tuple[str, int]]:
    rows = Attempt.objects.order_by("job_id", "number").values_list("job_id", "number", "claimed_at", "ended_at")
    for (job, _, _, ended_at), (next_job, number, claimed_at, _) in pairwise(rows.iterator(chunk_size=1000)):
        if job == next_job and (ended_at is None or ended_at > claimed_at + TOLERANCE):
            yield next_job, number
