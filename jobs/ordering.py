"""The order of what waits, changed by hand: a job's priority, or its place at either end of its kind's queue.

Priority goes before age, also between kinds that take turns on a GPU. So whoever moves a job to the front of its own
queue lets it go before other kinds' jobs too.
"""

import logging
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Max, Min

from jobs.models import WAITING, Job, JobQuerySet

logger = logging.getLogger(__name__)

# Far from what the column can hold, so that there is room before the first and behind the last.
MAX_PRIORITY = 1_000_000
COLUMN_LIMIT = 2**31 - 1


class NotMovable(Exception):
    """It cannot be done, and nothing was changed; the text says why in words."""


def prioritise(job_ids: Sequence[str], priority: int) -> list[Job]:
    """Return the jobs, with the priority. Raises NotMovable."""
    if abs(priority) > MAX_PRIORITY:
        raise NotMovable(f"A priority lies between -{MAX_PRIORITY} and {MAX_PRIORITY}; {priority} does not.")
    with transaction.atomic():
        return [_set(job, priority) for job in _locked(job_ids)]


def move_to_front(job_ids: Sequence[str]) -> list[Job]:
    """Let the jobs start before all others of their kind that wait, in the order given. Raises NotMovable."""
    with transaction.atomic():
        moved = _locked(job_ids)
        return [_set(job, _highest_of_others(job, moved) + len(moved) - n) for n, job in enumerate(moved)]


def move_to_back(job_ids: Sequence[str]) -> list[Job]:
    """Let the jobs start after all others of their kind that wait now, in the order given. Raises NotMovable."""
    with transaction.atomic():
        moved = _locked(job_ids)
        return [_set(job, _lowest_of_others(job, moved) - 1 - n) for n, job in enumerate(moved)]


def _locked(job_ids: Sequence[str]) -> list[Job]:
    """Return the rows in the order given, kept from being claimed meanwhile."""
    wanted = list(dict.fromkeys(job_ids))
    rows = Job.objects.select_for_update().order_by("pk").in_bulk(wanted)
    obstacles = [obstacle for job_id in wanted if (obstacle := _obstacle(job_id, rows.get(job_id)))]
    if obstacles:
        raise NotMovable("; ".join(obstacles) + ". Only a job that waits has a place in the queue.")
    return [rows[job_id] for job_id in wanted]


def _obstacle(job_id: str, job: Job | None) -> str:
    if job is None:
        return f"Job {job_id} not found"
    if job.status not in WAITING:
        return f"{job_id} is {job.status}"
    return f"{job_id} lies in its engine's queue already" if job.token else ""


def _highest_of_others(job: Job, moved: Sequence[Job]) -> int:
    return int(_others(job, moved).aggregate(top=Max("priority"))["top"] or 0)


def _lowest_of_others(job: Job, moved: Sequence[Job]) -> int:
    return int(_others(job, moved).aggregate(bottom=Min("priority"))["bottom"] or 0)


def _others(job: Job, moved: Sequence[Job]) -> JobQuerySet:
    # Those that may not start yet count too: their time comes.
    waiting = Job.objects.filter(kind=job.kind, status__in=WAITING, token="")
    return waiting.exclude(pk__in=[each.pk for each in moved])


def _set(job: Job, priority: int) -> Job:
    if abs(priority) > COLUMN_LIMIT:
        raise NotMovable(f"{job.pk} cannot go past a job of the utmost priority: change that one's first.")
    before, job.priority = job.priority, priority
    Job.objects.filter(pk=job.pk).update(priority=priority)
    logger.info("Priority changed from %d to %d", before, priority, extra={"job": job.pk})
    return job
