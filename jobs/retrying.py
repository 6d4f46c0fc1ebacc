"""Retry: the same work again, as a new job. The old one stays as it ended."""

import logging

from django.db import transaction

from characters.models import Character
from jobs import kinds, log, queue
from jobs.models import Job, Status, new_job_id

logger = logging.getLogger(__name__)


class NotRetryable(Exception):
    """The job cannot be run again; the text says why."""


def retry_job(job: Job) -> Job:
    """Return a new job of the same kind, config and order. Raises NotRetryable, and Job.DoesNotExist if it is gone."""
    with transaction.atomic():
        # Locked, so that two people who press the button at once get one new job.
        ended = Job.objects.select_for_update().get(pk=job.pk)
        _refuse_if_pointless(ended)
        again = queue.submit(_copy(ended))
        log.write(ended.pk, f"Retried as {again.pk}", event="job.retried", retry=again.pk)
        log.write(again.pk, f"Accepted as a retry of {ended.pk}", event="job.accepted", retry_of=ended.pk)
    logger.info("Job retried", extra={"job": ended.pk, "retry": again.pk})
    return again


def _refuse_if_pointless(job: Job) -> None:
    if not job.is_terminal:
        raise NotRetryable(f"{job.pk} is {job.status}: only a job that failed or was cancelled can be retried.")
    if job.status == Status.COMPLETED:
        raise NotRetryable(f"{job.pk} completed: there is nothing to retry.")
    if job.kind not in kinds.names():
        raise NotRetryable(f"{job.pk} is of the kind {job.kind}, which nobody runs any more.")
    if job.character_id is not None and not _lock_character(job.character_id):
        raise NotRetryable(f"{job.pk} belongs to {job.character_id}, which has been deleted.")
    live = Job.objects.live().filter(order__retry_of=job.pk).first()
    if live is not None:
        raise NotRetryable(f"{job.pk} is being retried already, as {live.pk}.")


def _lock_character(character_id: str) -> bool:
    """Return whether it exists; if so it gets no deletion, which would miss the new job, until the transaction ends."""
    return Character.objects.select_for_update().filter(pk=character_id).first() is not None


def _copy(job: Job) -> Job:
    return Job(
        id=new_job_id(kinds.get(job.kind).id_prefix),
        kind=job.kind,
        character_id=job.character_id,
        config=job.config,
        order={**job.order, "retry_of": job.pk},
        priority=job.priority,
        total_steps=job.total_steps,
        correlation_id=job.correlation_id,
    )
