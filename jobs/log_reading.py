"""A job's log for people: its end, and what is added while one watches."""

from collections import deque
from itertools import islice
from typing import Any

import orjson
from django.core.files.storage import default_storage

from jobs import log
from jobs.models import Job
from jobs.timestamps import iso_milliseconds

Entry = dict[str, Any]


def newest_entries(job: Job, count: int) -> list[Entry]:
    """Return the last `count` lines, oldest first. Raises OSError if the archive cannot be read."""
    rows = [row.as_entry() for row in job.log_lines.order_by("-id")[:count]]
    entries = [row | {"timestamp": iso_milliseconds(row["timestamp"])} for row in reversed(rows)]
    if not job.log_key or len(entries) == count:
        return entries
    with default_storage.open(job.log_key) as archive:
        return [*map(orjson.loads, deque(archive, maxlen=count - len(entries))), *entries]


def as_line(entry: Entry) -> str:
    known = " ".join(f"{name}={value}" for name, value in entry["fields"].items() if value is not None)
    line = f"{entry['timestamp']} {entry['level']:<7} {entry['event']}: {entry['message']}"
    return f"{line} [{known}]" if known else line


class LogFollower:
    """Reads on where it stopped. It counts lines, because ids are lost when the rows move into the archive."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._seen = 0

    def read(self) -> list[Entry]:
        """Return the lines since the last call. Raises Job.DoesNotExist, and OSError if the archive cannot be read."""
        job = Job.objects.get(pk=self._job_id)
        if job.log_key:
            entries = [orjson.loads(line) for line in islice(log.lines(job), self._seen, None)]
        else:
            rows = (row.as_entry() for row in job.log_lines.all()[self._seen :])
            entries = [row | {"timestamp": iso_milliseconds(row["timestamp"])} for row in rows]
        self._seen += len(entries)
        return entries

    def is_over(self) -> bool:
        """Return whether the job has ended and its engine is gone. Raises Job.DoesNotExist."""
        job = Job.objects.only("status", "holder").get(pk=self._job_id)
        return job.is_terminal and job.holder is None
