"""The jobs that a job continues or repeats, and those that continue or repeat it."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q

from jobs.models import Job

# By the name in the order: how the elder is called on the younger one's page, and the other way round.
_RELATIONS = {
    "retry_of": ("Retry of", "Retried as"),
    "extends": ("Adds steps to", "Extended as"),
    "rerun_of": ("Rerun of", "Rerun as"),
}


@dataclass(frozen=True, slots=True)
class Relative:
    label: str
    job: Job


def relatives(job: Job) -> list[Relative]:
    """Return the elders, then the younger ones in their order, in one query."""
    elders = [job.order[name] for name in _RELATIONS if job.order.get(name)]
    younger = Q()
    for name in _RELATIONS:
        younger |= Q(**{f"order__{name}": job.pk})
    # Only later ones can have come of it; that keeps the search from reading the whole table.
    found = Job.objects.filter(Q(pk__in=elders) | (Q(kind=job.kind, created_at__gte=job.created_at) & younger))
    rows = list(found.only("id", "status", "order", "created_at").order_by("created_at", "id"))
    return [relative for row in rows for relative in _relations(job, row)]


def _relations(job: Job, other: Job) -> Iterator[Relative]:
    for name, (to_elder, to_younger) in _RELATIONS.items():
        if job.order.get(name) == other.pk:
            yield Relative(to_elder, other)
        elif other.order.get(name) == job.pk:
            yield Relative(to_younger, other)
