"""What an attempt worked with, kept with its job: engines tell it, results are explained by it."""

from typing import Any

from jobs import attempts
from jobs.events import Facts
from jobs.lease import ClaimEnded
from jobs.models import Job
from jobs.transitions import Claim


def record(claim: Claim, job: Job, event: Facts) -> None:
    """Add to the present attempt's facts. Raises ClaimEnded if the row is no longer this claim's."""
    attempt = str(claim.attempt)
    facts = {**job.facts, attempt: {**job.facts.get(attempt, {}), **event.facts}}
    if not claim.own().update(facts=facts):
        raise ClaimEnded("lost")
    job.facts = facts
    step = event.facts.get("start_step")
    if isinstance(step, int):
        attempts.note_first_step(job.pk, claim.attempt, step)


def by_attempt(job: Job) -> list[dict[str, Any]]:
    """Return the attempts that told something, each with its number, the oldest first."""
    return [{"attempt": int(number), **job.facts[number]} for number in sorted(job.facts, key=int)]
