"""What became of each claim: a row from the claim until nothing of its engine is left.

`jobs.transitions` writes it in the transaction that gives or clears a job's holder, so attempts of a job never overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from jobs.models import Attempt, Job
from jobs.readable import shortened

Outcome = Attempt.Outcome
MAX_REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended; `reason` is in words, as the log has it."""

    outcome: Outcome
    reason: str = ""


def begin(job_id: str, number: int, *, slot: str, worker: Mapping[str, Any]) -> None:
    if number > 1:
        # Only a program that knows no attempts leaves one open, and a claim proves that nobody holds the job any more.
        end(job_id, Ending(Outcome.GIVEN_BACK, "How it ended was not recorded."))
    Attempt.objects.create(job_id=job_id, number=number, slot=slot, worker=dict(worker))


def end(job_id: str, ending: Ending) -> None:
    """End the job's open attempt, where there is one: jobs that were claimed before an upgrade have none."""
    reason = shortened(ending.reason, MAX_REASON_LENGTH)
    open_ones = Attempt.objects.filter(job_id=job_id, ended_at=None)
    open_ones.update(ended_at=timezone.now(), outcome=ending.outcome, reason=reason)


def note_first_step(job_id: str, number: int, step: int) -> None:
    Attempt.objects.filter(job_id=job_id, number=number).update(from_step=step)


def public(job: Job) -> list[dict[str, Any]]:
    """Return the attempts as anybody may see them. Places have numbers: which machine it was is nobody's business."""
    rows = list(job.attempts.all())
    places = list(dict.fromkeys(row.slot for row in rows))
    return [_told(row) | {"place": places.index(row.slot) + 1} for row in rows]


def with_machines(job: Job) -> list[dict[str, Any]]:
    """Return the attempts as operators see them."""
    return [_told(row) | {"slot": row.slot, "worker": row.worker} for row in job.attempts.all()]


def _told(row: Attempt) -> dict[str, Any]:
    names = ("number", "claimed_at", "ended_at", "from_step", "outcome", "reason")
    told = {name: getattr(row, name) for name in names}
    return told | {"outcome": row.outcome or None, "reason": row.reason or None}
