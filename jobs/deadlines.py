"""Deadlines: a job that has not ended by then is cancelled. They are wall-clock times, and move with the clock.

Whoever lives keeps them: the run's own heartbeat, the maintenance sweep, and each worker's sign of life.
"""

import logging

from django.utils import timezone

from jobs import kinds
from jobs.cancelling import NotCancellable, cancel_job
from jobs.models import Job

logger = logging.getLogger(__name__)

CAUSE = "deadline"


def is_over(job: Job) -> bool:
    return job.deadline_at is not None and job.deadline_at <= timezone.now()


def cancel_overdue() -> int:
    """Cancel what waits or runs past its deadline; return how many."""
    overdue = Job.objects.live().filter(kind__in=kinds.names(), deadline_at__lte=timezone.now())
    return sum(cancel_at_deadline(job) for job in overdue)


def cancel_at_deadline(job: Job) -> bool:
    """Return whether it was cancelled: it may have ended in the last moment."""
    message = f"Cancelled: not finished by its deadline, {job.deadline_at:%Y-%m-%d %H:%M:%S} UTC"
    try:
        cancel_job(job, message=message, cause=CAUSE)
    except NotCancellable:
        return False
    return True
