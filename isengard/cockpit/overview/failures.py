"""What broke in the last day, grouped by its cause, the most frequent first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q, QuerySet
from django.urls import reverse
from django.utils.http import urlencode

from isengard.cockpit.overview.rows import kind_title, page_of
from jobs import describing, kinds, readable
from jobs.admin.job_filters import NO_CAUSE
from jobs.models import Job, Status

LOOKED_BACK = timedelta(hours=24)
SHOWN_CAUSES = 8
REASON_LENGTH = 220


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A cause of failures, with the newest job that failed of it, and what that was retried as."""

    cause: str
    count: int
    list_address: str
    newest: Job
    address: str
    kind: str
    ago: str
    reason: str
    retry: Job | None
    retry_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakage:
    """The most frequent causes, and how many failures and causes there are in all."""

    shown: list[Broken]
    count: int
    cause_count: int
    list_address: str


def breakage(now: datetime) -> Breakage:
    # To the minute, so that the addresses, and with them the page, stay the same for a while; and so that their lists
    # hold what is counted here.
    since = (now - LOOKED_BACK).replace(second=0, microsecond=0)
    failed = Job.objects.filter(kind__in=kinds.names(), status=Status.FAILED, completed_at__gte=since).order_by()
    counted: Any = failed.values("failure_cause").annotate(count=Count("pk"), newest_at=Max("completed_at"))
    groups = list(counted.order_by("-count", "-newest_at"))
    return Breakage(
        shown=_shown(groups[:SHOWN_CAUSES], failed, since),
        count=sum(group["count"] for group in groups),
        cause_count=len(groups),
        list_address=_list_address(since),
    )


def retries_of(jobs: Sequence[Job]) -> dict[str, Job]:
    """Return by their ids what jobs were last retried as, for those that were."""
    if not jobs:
        return {}
    # Only later ones can be it; that keeps the search from reading the whole table.
    oldest = min(job.created_at for job in jobs)
    known = Job.objects.filter(kind__in={job.kind for job in jobs}, created_at__gte=oldest)
    found = known.filter(order__retry_of__in=[job.pk for job in jobs])
    return {job.order["retry_of"]: job for job in found.order_by("created_at", "id")}


def _shown(groups: Sequence[dict[str, Any]], failed: QuerySet[Job], since: datetime) -> list[Broken]:
    if not groups:
        return []
    is_newest = Q()
    for group in groups:
        is_newest |= Q(failure_cause=group["failure_cause"], completed_at=group["newest_at"])
    newest = {job.failure_cause: job for job in failed.filter(is_newest)}
    retries = retries_of(list(newest.values()))
    known = [(group, newest[group["failure_cause"]]) for group in groups if group["failure_cause"] in newest]
    return [_broken(group, job, since=since, retry=retries.get(job.pk)) for group, job in known]


def _list_address(since: datetime, **filters: str) -> str:
    same = {
        "status__exact": Status.FAILED,
        "kind__in": ",".join(kinds.names()),
        "completed_at__gte": f"{since:%Y-%m-%d %H:%M}Z",
    }
    return f"{reverse('admin:jobs_job_changelist')}?{urlencode(same | filters)}"


def _broken(group: dict[str, Any], newest: Job, *, since: datetime, retry: Job | None) -> Broken:
    return Broken(
        cause=group["failure_cause"].replace("_", " ").capitalize() or "Of no known cause",
        count=group["count"],
        list_address=_list_address(since, cause=group["failure_cause"] or NO_CAUSE),
        newest=newest,
        address=page_of(newest),
        kind=kind_title(newest.kind),
        ago=readable.age(newest.completed_at),
        reason=readable.shortened(describing.said(newest), REASON_LENGTH),
        retry=retry,
        retry_address=page_of(retry) if retry else "",
    )
