"""Ended jobs that were kept for long enough. Each goes by itself: its row first, then its files.

A death in between leaves files that no row names, which are leftovers like others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Q, Sum
from django.utils import timezone

from jobs import kinds
from jobs.deleting import NotDeletable, delete_job
from jobs.models import TERMINAL, Artifact, Job

IDS_AT_ONCE = 200
# Whoever ran it may still archive its log, and clients ask how it ended.
MIN_AGE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which ended jobs of a kind go: in these states, ended so long ago, and not among the newest `keep` of them."""

    kind: str
    statuses: tuple[str, ...] = tuple(TERMINAL)
    older_than: timedelta = MIN_AGE
    keep: int = 0


def rules_of_settings() -> list[Rule]:
    """Return what the operator wants to go by itself: nothing, where nothing is set."""
    bounds = {kind: settings.RETENTION.get(kind, (0, 0)) for kind in kinds.names()}
    return [
        Rule(kind=kind, older_than=timedelta(days=days), keep=int(count))
        for kind, (days, count) in bounds.items()
        if days or count
    ]


def find_expired(rule: Rule) -> Iterator[str]:
    """Yield the ids, those that ended first before the others, however many there are."""
    ended = Job.objects.filter(kind=rule.kind, status__in=rule.statuses)
    surplus = ended.count() - rule.keep
    latest = timezone.now() - max(rule.older_than, MIN_AGE)
    old = ended.filter(holder__isnull=True, completed_at__lt=latest).order_by("completed_at", "pk")
    seen = Q()
    while surplus > 0 and (
        batch := list(old.filter(seen).values_list("pk", "completed_at")[: min(surplus, IDS_AT_ONCE)])
    ):
        yield from (job_id for job_id, _ in batch)
        surplus -= len(batch)
        last_id, last_end = batch[-1]
        seen = Q(completed_at__gt=last_end) | Q(completed_at=last_end, pk__gt=last_id)


def size_bytes(job_id: str) -> int:
    """Return how much the job's files take."""
    published = Artifact.objects.filter(job_id=job_id).aggregate(total=Sum("size_bytes"))["total"] or 0
    log_key = Job.objects.filter(pk=job_id).values_list("log_key", flat=True).first()
    return published + _log_bytes(log_key or "")


def _log_bytes(key: str) -> int:
    try:
        return default_storage.size(key) if key else 0
    except OSError:
        return 0


def expire(job_id: str) -> bool:
    """Delete the job and its files; False where it is gone already, or another one still needs it."""
    try:
        delete_job(job_id)
    except (NotDeletable, Job.DoesNotExist):
        return False
    return True
