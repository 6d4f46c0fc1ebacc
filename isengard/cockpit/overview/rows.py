"""What several parts of the overview need, read once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone

from characters.models import Character
from jobs import kinds, readable
from jobs.models import WAITING, Job, Slot
from jobs.overview import QueueOverview, queue_overviews

SHOWN_WAITING = 10
TITLE_LENGTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """`held` are the jobs whose engine may be at work; `waiting` the first that wait; `names` those of characters."""

    now: datetime
    slots: list[Slot]
    queues: list[QueueOverview]
    held: list[Job]
    waiting: list[Job]
    names: dict[str, str]

    def on_slot(self, name: str) -> list[Job]:
        return [job for job in self.held if job.slot == name]

    def title_of(self, job: Job) -> str:
        """Return whom it is about, and what it makes."""
        name = self.names.get(job.character_id or "") or job.order.get("character_name") or job.character_id
        prompt = job.config.get("prompt")
        words = " · ".join(str(word) for word in (name, prompt) if word)
        return readable.shortened(words, TITLE_LENGTH) or job.pk


def read_rows() -> Rows:
    # What runs is held, and so is what has ended but not yet stopped. Asked for kinds, SQLite would read all of them.
    found = Job.objects.held().select_related("gpu").order_by("created_at", "id")
    held, waiting = [job for job in found if job.kind in kinds.names()], _first_waiting()
    character_ids = {job.character_id for job in (*held, *waiting) if job.character_id}
    return Rows(
        now=timezone.now(),
        slots=list(Slot.objects.select_related("gpu").order_by("kind", "name")),
        queues=queue_overviews(),
        held=held,
        waiting=waiting,
        names=dict(Character.objects.filter(pk__in=character_ids).values_list("pk", "name")),
    )


def _first_waiting() -> list[Job]:
    """Return the first that may start now, then those whose time has not come."""
    waiting = Job.objects.filter(kind__in=kinds.names(), status__in=WAITING, token="")
    now = timezone.now()
    due = list(waiting.exclude(run_after__gt=now).order_by("-priority", "created_at", "id")[:SHOWN_WAITING])
    later = waiting.filter(run_after__gt=now).order_by("run_after", "id")
    return due + list(later[: SHOWN_WAITING - len(due)])


def page_of(row: Any) -> str:
    """Return the address of the row's own page."""
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(row.pk)])


def kind_title(name: str) -> str:
    return kinds.get(name).title if name in kinds.names() else name
