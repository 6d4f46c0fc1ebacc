"""A job's log, searched line by line over its archive and the rows behind it, never held as a whole."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from rest_framework.exceptions import NotFound

from jobs import log
from jobs.models import Job

logger = logging.getLogger(__name__)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

# A run is archived once, and once more if somebody wrote a line afterwards: two moves in one reading are rare enough.
_READINGS = 3

Entry = dict[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """What a line must have; None asks for nothing. `event` also finds what is below it: artifact, artifact.sample."""

    level: str | None = None
    event: str | None = None
    text: str | None = None

    def admits(self, line: bytes) -> bool:
        if self == EVERYTHING:
            return True
        entry = orjson.loads(line)
        return self._has_level(entry) and self._has_event(entry) and self._has_text(entry)

    def _has_level(self, entry: Entry) -> bool:
        return self.level in (None, entry["level"])

    def _has_event(self, entry: Entry) -> bool:
        return self.event in (None, entry["event"]) or entry["event"].startswith(f"{self.event}.")

    def _has_text(self, entry: Entry) -> bool:
        if self.text is None:
            return True
        wanted = self.text.casefold()
        return any(wanted in str(value).casefold() for value in (entry["message"], *entry["fields"].values()))


EVERYTHING = LogFilter()


@dataclass(frozen=True, slots=True)
class LogPage:
    """`total` counts the admitted lines of the whole log."""

    entries: list[Entry]
    total: int


def log_page(job: Job, wanted: LogFilter, *, offset: int, limit: int) -> LogPage:
    """Return the admitted lines from `offset` on, oldest first. Raises NotFound if the archive is gone."""

    def read() -> LogPage:
        entries, total = [], 0
        for line in log.lines(job):
            if not wanted.admits(line):
                continue
            if offset <= total < offset + limit:
                entries.append(orjson.loads(line))
            total += 1
        return LogPage(entries, total)

    return read_settled(job, read)


def first_error(job: Job) -> str | None:
    """Return the message of the first line of level ERROR. Raises NotFound if the archive is gone."""

    def read() -> str | None:
        # Most lines are seen to be none without parsing them.
        candidates = (orjson.loads(line) for line in log.lines(job) if b'"ERROR"' in line)
        return next((str(entry["message"]) for entry in candidates if entry["level"] == "ERROR"), None)

    return read_settled(job, read)


def begin(job: Job) -> tuple[bytes | None, Iterator[bytes]]:
    """Return the log's first line, None where there is none, and the rest. Raises NotFound if the archive is gone."""

    def read() -> tuple[bytes | None, Iterator[bytes]]:
        content = log.lines(job)
        return next(content, None), content

    return read_settled(job, read)


def has_log(job: Job) -> bool:
    return bool(job.log_key) or job.log_lines.exists()


def read_settled(job: Job, read: Callable[[], Result]) -> Result:
    """Return `read()`, again if the rows were archived meanwhile: it saw neither them nor the file they went to."""
    for _ in range(_READINGS):
        key = job.log_key
        with suppress(FileNotFoundError):
            result = read()
            if _present_key(job) == key:
                return result
        job.log_key = _present_key(job)
    logger.error("The archived log is missing", extra={"job": job.pk, "key": job.log_key})
    raise NotFound("Job logs not found")


def _present_key(job: Job) -> str:
    return Job.objects.filter(pk=job.pk).values_list("log_key", flat=True).first() or ""
