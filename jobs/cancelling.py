"""Cancel: the status turns at once; the worker stops the engine within seconds, and until then the holder stays."""

import logging

from django.db import transaction

from jobs import log, transitions
from jobs.models import Job, Status
from jobs.narrator import announce_end
from jobs.payloads import end_message

logger = logging.getLogger(__name__)


class NotCancellable(Exception):
    """The job has already ended."""


def cancel_job(job: Job, *, message: str = "", cause: str = "") -> Job:
    """Raises NotCancellable, with the state in words, if the job has ended.

    `message` and `cause` say why, where it was nobody's wish of the moment.
    """
    job.status = Status.CANCELLED
    if not transitions.cancel(Job.objects.filter(pk=job.pk), message or end_message(job), cause=cause):
        job.refresh_from_db()
        raise NotCancellable(f"Cannot cancel job in {job.status} state")
    job.refresh_from_db()
    logger.info("Job cancelled", extra={"job": job.pk})
    log.write(job.pk, message or "Cancelled", event="job.cancelled", level="WARNING")
    transaction.on_commit(lambda: announce_end(job))
    return job


def cancel_jobs_of_character(character_id: str) -> None:
    for job in Job.objects.live().filter(character_id=character_id):
        try:
            cancel_job(job)
        except NotCancellable:
            logger.info("Job had already ended", extra={"job": job.pk})
