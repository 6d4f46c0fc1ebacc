"""A job's log: rows while it lives, a JSONL file in storage afterwards (object stores cannot append)."""

import logging
import secrets
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import orjson
from django.core.files.storage import default_storage
from django.db import DatabaseError, transaction
from django.utils import timezone

from characters import files
from jobs.events import Log
from jobs.models import TERMINAL, Job, JobLogLine
from jobs.timestamps import iso_milliseconds

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
MAX_MESSAGE_LENGTH = 4000
MAX_BUFFERED = 5000
ARCHIVED_AT_ONCE = 20


def write(job_id: str, message: str, *, event: str, level: str = "INFO", **fields: Any) -> None:
    """Write one line at once."""
    JobLogLine.objects.create(job_id=job_id, level=level, event=event, message=message, fields=fields)


class JobLog:
    """A run's lines, written in batches."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._buffer: list[JobLogLine] = []
        self._flushed = time.monotonic()

    def add(self, line: Log) -> None:
        message = line.message.replace("\x00", "")[:MAX_MESSAGE_LENGTH]
        row = JobLogLine(job_id=self._job_id, timestamp=timezone.now(), level=line.level, event=line.event)
        row.message, row.fields = message, dict(line.fields)
        self._buffer.append(row)

    def flush_if_due(self) -> None:
        if self._buffer and time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered. While the database is away the newest lines are kept for the next try."""
        self._flushed = time.monotonic()
        try:
            JobLogLine.objects.bulk_create(self._buffer)
        except DatabaseError as exc:
            logger.warning("Log lines wait for the database: %s", exc)
            self._buffer = self._buffer[-MAX_BUFFERED:]
        else:
            self._buffer = []


def _jsonl(entry: dict[str, Any]) -> bytes:
    return orjson.dumps(entry | {"timestamp": iso_milliseconds(entry["timestamp"])}, default=str) + b"\n"


def lines(job: Job) -> Iterator[bytes]:
    """Return the log as JSONL lines, oldest first: the archive, then the rows that came after it."""
    if job.log_key:
        with default_storage.open(job.log_key) as archive:
            yield from archive
    for row in job.log_lines.all().iterator(chunk_size=500):
        yield _jsonl(row.as_entry())


def archive(job: Job) -> None:
    """Move the rows into a file. A death half-way loses and doubles nothing: file first, then row and rows at once."""
    last = job.log_lines.order_by("-id").first()
    if last is None:
        return
    before = job.log_key
    after = f"logs/{job.pk}.{last.pk}-{secrets.token_hex(4)}.jsonl"
    # Whole or not at all: what is cut off by a full disk would stay, and nobody would name it.
    files.publish(after, BytesIO(b"".join(lines(job))))
    with transaction.atomic():
        is_ours = Job.objects.filter(pk=job.pk, log_key=before).update(log_key=after) == 1
        if is_ours:
            JobLogLine.objects.filter(job=job, pk__lte=last.pk).delete()
            job.log_key = after
    unused = before if is_ours else after
    if unused:
        default_storage.delete(unused)


def archive_ended() -> None:
    """Archive what no run did: logs of jobs that were cancelled while they waited, or whose worker died at the end."""
    ended = Job.objects.filter(status__in=TERMINAL, holder__isnull=True, log_lines__isnull=False)
    for job in ended.distinct()[:ARCHIVED_AT_ONCE]:
        try:
            archive(job)
        except OSError as exc:
            logger.warning("The log of %s cannot be archived yet: %s", job.pk, exc)
