"""A job's loss curve: rows while it lives, one file in storage afterwards.

The file is JSON in columns: numbers come back as they were, a loss that was none is null, and ten thousand steps are
read in milliseconds, where CSV would leave types and nulls to whoever reads it.
"""

import io
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from django.core.files.storage import default_storage
from django.db import DatabaseError, transaction

from characters import files
from jobs.events import Loss
from jobs.models import TERMINAL, Artifact, Job, LossPoint
from jobs.patience import patiently
from jobs.transitions import Claim

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
ROWS_AT_ONCE = 500
ARCHIVED_AT_ONCE = 20
LOSS_CURVE = "loss"
FILE_NAME = "loss.json"


class JobLosses:
    """What one attempt measures, written in batches while its claim stands."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._buffer: list[Loss] = []
        self._flushed = float("-inf")
        self._is_first = True

    def add(self, points: Iterable[Loss]) -> None:
        self._buffer.extend(points)

    def flush_if_due(self) -> None:
        if self._buffer and time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered; while the database is away it waits for the next try."""
        self._flush(self._write)

    def finish(self) -> None:
        """Write the rest, before the claim is given up; a database that is away is waited out."""
        self._flush(lambda: patiently(self._write))

    def _flush(self, write: Callable[[], None]) -> None:
        self._flushed = time.monotonic()
        if not self._buffer:
            return
        try:
            write()
        except DatabaseError as exc:
            logger.warning("Loss points wait for the database: %s", exc)
        else:
            self._buffer, self._is_first = [], False

    def _write(self) -> None:
        with transaction.atomic():
            # The lock is the fence: while the row is locked nobody else can become its holder.
            if self._claim.own().select_for_update().values_list("pk", flat=True).first() is None:
                logger.info("Loss points of a lost claim are dropped", extra={"job": self._claim.job_id})
                return
            if self._is_first:
                # A run that goes on from a checkpoint makes these steps again.
                stale = LossPoint.objects.filter(job_id=self._claim.job_id, step__gte=self._buffer[0].step)
                stale.delete()
            _upsert(self._claim.job_id, self._buffer)


def _upsert(job_id: str, points: Sequence[Loss]) -> None:
    rows = [LossPoint(job_id=job_id, step=at.step, loss=at.loss, learning_rate=at.learning_rate) for at in points]
    LossPoint.objects.bulk_create(
        rows,
        batch_size=ROWS_AT_ONCE,
        update_conflicts=True,
        unique_fields=["job", "step"],
        update_fields=["loss", "learning_rate"],
    )


def points_of(job: Job) -> list[Loss]:
    """Return the whole curve in order of steps, of a live job as of one that has ended. Raises OSError."""
    rows = job.loss_points.order_by("step").values_list("step", "loss", "learning_rate")
    points = [Loss(step=step, loss=loss, learning_rate=rate) for step, loss, rate in rows]
    # After the rows: if these moved into the file meanwhile, both have them.
    archived = job.artifacts.filter(type=LOSS_CURVE).first()
    if archived is None:
        return points
    with default_storage.open(archived.key) as file:
        return _merged(_from_file(file.read()), points)


def _merged(archived: list[Loss], newer: list[Loss]) -> list[Loss]:
    by_step = {point.step: point for point in [*archived, *newer]}
    return [by_step[step] for step in sorted(by_step)]


def _from_file(content: bytes) -> list[Loss]:
    columns = orjson.loads(content)
    rows = zip(columns["step"], columns["loss"], columns["learning_rate"], strict=True)
    return [Loss(step=step, loss=loss, learning_rate=rate) for step, loss, rate in rows]


def as_file(points: Sequence[Loss]) -> bytes:
    columns: dict[str, list[Any]] = {
        "step": [point.step for point in points],
        "loss": [point.loss for point in points],
        "learning_rate": [point.learning_rate for point in points],
    }
    return orjson.dumps(columns)


def copy_until(step: int, *, source: Job, target: Job) -> None:
    """Give `target` the curve of `source` up to a step, that of a checkpoint it goes on from. Raises OSError."""
    _upsert(target.pk, [point for point in points_of(source) if point.step <= step])


def archive(job: Job) -> None:
    """Move the rows into a file. A death half-way loses and doubles nothing: file first, then rows and row at once."""
    if not job.loss_points.exists():
        return
    content = as_file(points_of(job))
    key = f"logs/{job.pk}/{secrets.token_hex(4)}-{FILE_NAME}"
    files.publish(key, io.BytesIO(content))
    try:
        unused = _record(job, key, len(content))
    except BaseException:
        files.discard_unnamed(key, Artifact.objects.all())
        raise
    files.discard(unused)


@transaction.atomic
def _record(job: Job, key: str, size_bytes: int) -> list[str]:
    """Return the keys that nothing names any more: an older curve's, or `key` where somebody else was faster."""
    Job.objects.select_for_update().filter(pk=job.pk).first()
    if not job.loss_points.exists():
        return [key]
    before = Artifact.objects.filter(job=job, type=LOSS_CURVE).values_list("key", flat=True).first()
    named: dict[str, Any] = {"job": job, "type": LOSS_CURVE, "name": FILE_NAME}
    Artifact.objects.update_or_create(**named, defaults={"key": key, "size_bytes": size_bytes})
    job.loss_points.all().delete()
    return [] if before is None else [before]


def archive_ended() -> None:
    """Archive what no run did: the curves of jobs whose worker died at the end."""
    ended = Job.objects.filter(status__in=TERMINAL, holder__isnull=True, loss_points__isnull=False)
    for job in ended.distinct()[:ARCHIVED_AT_ONCE]:
        try:
            archive(job)
        except OSError as exc:
            logger.warning("The loss curve of %s cannot be archived yet: %s", job.pk, exc)
