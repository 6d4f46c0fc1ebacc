"""Trainings that continue others: a retry from the newest checkpoint, and more steps for a finished one."""

import logging
from functools import partial
from typing import Any

from annotated_types import Le
from django.core.files.storage import default_storage
from django.db import transaction
from pydantic import ConfigDict, Field, ValidationError
from rest_framework import exceptions

from characters.models import Character, Lora, TrainingImage
from jobs import log, queue
from jobs.artifacts import CHECKPOINT, model_of
from jobs.idempotency import RequestKey, Submission, intent_of, record_once
from jobs.models import Job, Status, new_job_id
from jobs.params import as_api_error
from jobs.resume_points import ResumePoint
from jobs.retrying import NotRetryable, carry_over, retry_job
from jobs.schedule import START_AFTER, Scheduled
from training.params import TrainingParams

logger = logging.getLogger(__name__)

# What a retry from the checkpoint would only meet again.
SPOILED = frozenset({"diverged", "damaged_checkpoint", "unusable_lora", "wrong_start"})
MAX_STEPS = next(int(str(limit.le)) for limit in TrainingParams.model_fields["steps"].metadata if isinstance(limit, Le))


class RetryRequest(Scheduled):
    model_config = ConfigDict(extra="forbid", strict=True)

    from_checkpoint: bool | None = Field(
        None,
        description=(
            "True: go on from the newest checkpoint, and refuse where there is none; false: from the beginning; null: "
            "from the newest checkpoint, unless there is none or the training had diverged."
        ),
    )


class ExtensionRequest(Scheduled):
    model_config = ConfigDict(extra="forbid", strict=True)

    steps: int = Field(ge=1, le=MAX_STEPS, description=f"Steps to add; all in all a training has at most {MAX_STEPS}.")


def newest_point(job: Job) -> ResumePoint | None:
    """Return the furthest checkpoint that is still stored: one of the job's own, or what it went on from itself."""
    own = job.artifacts.filter(type=CHECKPOINT, step__isnull=False).order_by("-step", "-id")
    points = [ResumePoint(job_id=job.pk, step=row.step or 0, key=row.key) for row in own]
    inherited = ResumePoint.of(job)
    points += [inherited] if inherited else []
    return next((point for point in points if default_storage.exists(point.key)), None)


def point_for_retry(job: Job, *, from_checkpoint: bool | None) -> ResumePoint | None:
    """Return where a retry goes on from; None: from the beginning. Raises NotRetryable."""
    if from_checkpoint is False or (from_checkpoint is None and job.failure_cause in SPOILED):
        return None
    point = newest_point(job)
    if point is None and from_checkpoint:
        raise NotRetryable(f"from_checkpoint: {job.pk} has no checkpoint to go on from.")
    return point


def retry_training(job: Job, wanted: RetryRequest, *, correlation_id: str, key: RequestKey | None = None) -> Submission:
    """Retry a failed or cancelled training, or return the retry that `key` started before. Raises ValidationError."""
    intent = intent_of(key, {"retry_of": job.pk, **wanted.parameters()})

    def record() -> Job:
        try:
            wish = wanted.from_checkpoint
            return retry_job(job, from_checkpoint=wish, correlation_id=correlation_id, scheduled=wanted)
        except NotRetryable as exc:
            raise exceptions.ValidationError(str(exc)) from exc

    return record_once(intent, record)


def extend_training(
    job: Job, wanted: ExtensionRequest, *, correlation_id: str, key: RequestKey | None = None
) -> Submission:
    """Give a completed training more steps, as a new job. Raises NotFound for the character, else ValidationError."""
    intent = intent_of(key, {"extends": job.pk, **wanted.parameters()})
    return record_once(intent, lambda: _extend(job.pk, wanted, correlation_id))


@transaction.atomic
def _extend(job_id: str, wanted: ExtensionRequest, correlation_id: str) -> Job:
    # Locked, so that two people who ask at once get one new job.
    done = Job.objects.select_for_update().get(pk=job_id)
    _refuse_if_not_extendable(done)
    _lock_character(done)
    params, point = _params(done, wanted.steps), _point_for_extension(done)
    again = wanted.put_on(_extension(done, params, point, correlation_id))
    transaction.on_commit(partial(carry_over, done.pk, again.pk, point.step), robust=True)
    queue.submit(again)
    said = f"Accepted as {wanted.steps} more steps for {done.pk}, going on from {point.in_words}"
    log.write(done.pk, f"Extended by {wanted.steps} steps as {again.pk}", event="job.extended", extension=again.pk)
    log.write(again.pk, said, event="job.accepted", extends=done.pk, correlation_id=correlation_id)
    logger.info("Training extended", extra={"job": done.pk, "extension": again.pk})
    return again


def _refuse_if_not_extendable(job: Job) -> None:
    if job.status != Status.COMPLETED:
        raise exceptions.ValidationError(f"{job.pk} is {job.status}: only a completed training can be extended.")
    live = Job.objects.live().filter(order__extends=job.pk).first()
    if live is not None:
        raise exceptions.ValidationError(f"{job.pk} is being extended already, as {live.pk}.")


def _lock_character(job: Job) -> None:
    """Keep the character from being deleted behind the new job's back."""
    if Character.objects.select_for_update().filter(pk=job.character_id).first() is None:
        raise exceptions.NotFound(f"Character {job.character_id} not found")
    if not TrainingImage.objects.filter(character_id=job.character_id).exists():
        raise exceptions.ValidationError("No training images uploaded for this character")


def _params(job: Job, steps: int) -> TrainingParams:
    total = int(job.config["steps"]) + steps
    if total > MAX_STEPS:
        most = MAX_STEPS - int(job.config["steps"])
        at_most = f"must be at most {most}" if most else "cannot be added"
        raise exceptions.ValidationError(
            {"steps": f"{at_most}: a training has {MAX_STEPS} steps at most, and {job.pk} has {job.config['steps']}."}
        )
    try:
        return TrainingParams.model_validate({**job.config, "steps": total})
    except ValidationError as exc:
        raise as_api_error(exc, below="config") from exc


def _point_for_extension(job: Job) -> ResumePoint:
    lora = model_of(job)
    if lora is not None and default_storage.exists(lora.key):
        return _end_of(job, lora)
    point = newest_point(job)
    if point is None:
        raise exceptions.ValidationError(f"The LoRA of {job.pk} was deleted, and no checkpoint of it is left.")
    return point


def _end_of(job: Job, lora: Lora) -> ResumePoint:
    return ResumePoint(job_id=job.pk, step=int(job.config["steps"]), key=lora.key, lora_id=lora.pk)


def _extension(job: Job, params: TrainingParams, point: ResumePoint, correlation_id: str) -> Job:
    origin: dict[str, Any] = {"extends": job.pk, "resume_from": point.as_order()}
    return Job(
        id=new_job_id("train"),
        kind=job.kind,
        character_id=job.character_id,
        config=params.model_dump(mode="json"),
        order={key: value for key, value in job.order.items() if key not in ("retry_of", START_AFTER)} | origin,
        priority=job.priority,
        total_steps=params.steps,
        correlation_id=correlation_id,
    )
