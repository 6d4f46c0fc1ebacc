"""What broke in the last day, grouped by its cause, the most frequent first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q
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
    """A cause of failures, with the newest job that failed of it."""

    cause: str
    count: int
    list_address: str
    newest: Job
    address: str
    kind: str
    ago: str
    reason: str


def broken(now: datetime) -> list[Broken]:
    failed = Job.objects.filter(
        kind__in=kinds.names(), status=Status.FAILED, completed_at__gte=now - LOOKED_BACK
    ).order_by()
    counted: Any = failed.values("failure_cause").annotate(count=Count("pk"), newest_at=Max("completed_at"))
    groups = list(counted.order_by("-count", "-newest_at")[:SHOWN_CAUSES])
    if not groups:
        return []
    is_newest = Q()
    for group in groups:
        is_newest |= Q(failure_cause=group["failure_cause"], completed_at=group["newest_at"])
    newest = {job.failure_cause: job for job in failed.filter(is_newest)}
    return [_broken(group, newest[group["failure_cause"]], now) for group in groups if group["failure_cause"] in newest]


def _broken(group: dict[str, Any], newest: Job, now: datetime) -> Broken:
    # To the minute, so that the address, and with it the page, stays the same for a while.
    since = (now - LOOKED_BACK).replace(second=0, microsecond=0)
    filters = {
        "status__exact": Status.FAILED,
        "cause": group["failure_cause"] or NO_CAUSE,
        "completed_at__gte": f"{since:%Y-%m-%d %H:%M}Z",
    }
    return Broken(
        cause=group["failure_cause"].replace("_", " ").capitalize() or "Of no known cause",
        count=group["count"],
        list_address=f"{reverse('admin:jobs_job_changelist')}?{urlencode(filters)}",
        newest=newest,
        address=page_of(newest),
        kind=kind_title(newest.kind),
        ago=readable.age(newest.completed_at),
        reason=readable.shortened(describing.said(newest), REASON_LENGTH),
    )
