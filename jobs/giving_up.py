"""Poison: a job that kills whatever runs it is stopped, and is told why."""

from jobs.attempts import Outcome
from jobs.models import Job

MAX_CRASHES = 3


def last_words(job: Job, why: str) -> str:
    """Return why `job` is given up whose present attempt is the last that crashes; `why` is what became of that one."""
    moment = f", at step {job.current_step} of {job.total_steps}" if job.current_step else ""
    return (
        f"Gave up after {MAX_CRASHES} crashes without a new checkpoint in between, {_where(job)}. "
        f"The last one{moment}: {why.rstrip('.')}. "
        f"Retry it once the cause is gone; the operator sees every attempt with `manage.py jobs show {job.pk}`."
    )


def _where(job: Job) -> str:
    crashed = job.attempts.filter(outcome=Outcome.CRASHED).order_by("-number").values_list("slot", flat=True)
    # The last one is not ended yet.
    places = {*crashed[: MAX_CRASHES - 1], job.slot}
    return "all in the same place" if len(places) == 1 else f"in {len(places)} different places"
