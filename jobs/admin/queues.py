"""The queue of each kind: how full it is, and pause."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from jobs import queue, readable
from jobs.admin import showing
from jobs.admin.acting import ActingAdmin, Button, NothingToDo
from jobs.models import Job, QueueState, Slot
from jobs.overview import QueueOverview, queue_overviews


def _with_overviews(stored: list[QueueState]) -> list[Any]:
    """Return a row for every kind, stored or not.

    A kind that was never paused has no row, and looking at a list must not write one. Rows made by a migration would
    miss the kinds that come later, so what is missing is made up here, unsaved, as what it means: an open queue.
    """
    by_kind = {row.kind: row for row in stored}
    rows: list[Any] = []
    for overview in queue_overviews():
        row: Any = by_kind.pop(overview.kind, None) or QueueState(kind=overview.kind)
        row.overview = overview
        rows.append(row)
    for row in by_kind.values():
        row.overview = QueueOverview(kind=row.kind, is_paused=row.is_paused)
        rows.append(row)
    return rows


class QueueList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list: Any = _with_overviews(list(self.result_list))
        self.result_count = self.full_result_count = len(self.result_list)


OVERVIEW = ("state", "waiting", "oldest_age", "claimed", "running", "stopping", "slots", "holders")
PAUSING = "While a queue is paused, jobs are accepted and wait; those that run go on to their end."
PAUSE = Button("pause", "Pause", "Start no more jobs of this kind; those that run go on.")
RESUME = Button("resume", "Resume", "Start jobs of this kind again.")


@admin.register(QueueState)
class QueueStateAdmin(showing.ReadOnly, ActingAdmin):
    list_display = ("kind", *OVERVIEW[:-1])
    ordering = ("kind",)
    fieldsets = ((None, {"fields": ("kind", *OVERVIEW), "description": PAUSING}),)
    readonly_fields = ("kind", *OVERVIEW)
    actions = None

    def buttons(self, row: Any) -> list[Button]:
        return [RESUME if row.overview.is_paused else PAUSE]

    def press(self, verb: str, row: Any) -> str:
        is_paused = {"pause": True, "resume": False}[verb]
        if queue.is_paused(row.kind) == is_paused:
            raise NothingToDo(f"{row.kind} is {'paused' if is_paused else 'open'} already.")
        queue.set_paused(row.kind, is_paused=is_paused)
        row.is_paused = is_paused
        return "Paused: no more jobs start; those that run go on." if is_paused else "Open again: what waits starts."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return QueueList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> QueueState | None:
        stored = super().get_object(request, object_id, from_field)
        rows = _with_overviews([stored] if stored else [])
        return next((row for row in rows if row.kind == object_id), None)

    @admin.display(description="State")
    def state(self, row: Any) -> SafeString:
        return showing.badge("paused" if row.overview.is_paused else "open")

    @admin.display(description="Waiting")
    def waiting(self, row: Any) -> SafeString:
        return self._jobs(row, row.overview.waiting, status__in="pending,queued")

    @admin.display(description="Oldest has waited")
    def oldest_age(self, row: Any) -> SafeString | str:
        return showing.age(row.overview.oldest_waiting_at)

    @admin.display(description="In engine")
    def claimed(self, row: Any) -> int:
        return int(row.overview.claimed)

    @admin.display(description="Running")
    def running(self, row: Any) -> SafeString:
        return self._jobs(row, row.overview.running, status__exact="running")

    @admin.display(description="Stopping")
    def stopping(self, row: Any) -> int:
        return int(row.overview.stopping)

    @admin.display(description="Slots")
    def slots(self, row: Any) -> SafeString:
        found = row.overview
        told = {"served": found.served_slots, "silent": found.silent_slots, "drained": found.drained_slots}
        words = ", ".join(f"{len(names)} {word}" for word, names in told.items() if names or word == "served")
        return showing.list_link(Slot, words, kind=row.kind)

    @admin.display(description="Holds GPUs")
    def holders(self, row: Any) -> SafeString | str:
        held = (
            (holding.gpu, showing.link(Job(pk=holding.job_id)), holding.status) for holding in row.overview.holdings
        )
        return format_html_join("", "<div>{}: {} ({})</div>", held) or readable.NOTHING

    def _jobs(self, row: Any, count: int, **filters: str) -> SafeString:
        return showing.list_link(Job, str(count), kind=row.kind, **filters)
