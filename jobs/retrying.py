"""Retry: the same work again, as a new job. The old one stays as it ended."""

import logging
from functools import partial

from django.db import transaction

from characters.models import Character
from jobs import kinds, log, losses, queue
from jobs.models import Job, Status, new_job_id
from jobs.resume_points import ResumePoint
from jobs.schedule import AT_ONCE, START_AFTER, Scheduled

logger = logging.getLogger(__name__)


class NotRetryable(Exception):
    """The job cannot be run again; the text says why."""


def retry_job(
    job: Job,
    *,
    from_checkpoint: bool | None = None,
    correlation_id: str | None = None,
    scheduled: Scheduled = AT_ONCE,
) -> Job:
    """Return a new job of the same kind, config and order. Raises NotRetryable, QueueFull, and Job.DoesNotExist if it
    is gone.

    `from_checkpoint` None: from the newest checkpoint where the kind has one and thinks it right.
    """
    with transaction.atomic():
        # Locked, so that two people who press the button at once get one new job.
        ended = Job.objects.select_for_update().get(pk=job.pk)
        _refuse_if_pointless(ended)
        point = kinds.get(ended.kind).point_for_retry(ended, from_checkpoint=from_checkpoint)
        again = scheduled.put_on(_copy(ended, point, correlation_id))
        if point is not None:
            transaction.on_commit(partial(carry_over, ended.pk, again.pk, point.step), robust=True)
        queue.submit(again)
        kinds.get(again.kind).hold_for_retry(again)
        begins = f"going on from {point.in_words}" if point else "from the beginning"
        log.write(ended.pk, f"Retried as {again.pk}", event="job.retried", retry=again.pk)
        log.write(again.pk, f"Accepted as a retry of {ended.pk}, {begins}", event="job.accepted", retry_of=ended.pk)
    logger.info("Job retried", extra={"job": ended.pk, "retry": again.pk})
    return again


def carry_over(source_id: str, target_id: str, step: int) -> None:
    """Give a job the loss curve of the one that it goes on from. A curve that cannot be had keeps nobody from work."""
    source, target = Job.objects.filter(pk=source_id).first(), Job.objects.filter(pk=target_id).first()
    if source is None or target is None:
        return
    try:
        # A checkpoint is named by the step it was made in, which is one more when it is counted as completed.
        losses.copy_until(step + 1, source=source, target=target)
    except OSError as exc:
        logger.warning("The loss curve of %s cannot be read: %s", source_id, exc)


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


def _copy(job: Job, point: ResumePoint | None, correlation_id: str | None) -> Job:
    asked = {name: value for name, value in job.order.items() if name not in ("resume_from", START_AFTER)}
    return Job(
        id=new_job_id(kinds.get(job.kind).id_prefix),
        kind=job.kind,
        character_id=job.character_id,
        config=job.config,
        order=asked | {"retry_of": job.pk} | ({"resume_from": point.as_order()} if point else {}),
        priority=job.priority,
        total_steps=job.total_steps,
        correlation_id=job.correlation_id if correlation_id is None else correlation_id,
    )
