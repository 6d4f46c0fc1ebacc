"""Jobs: what runs, what waits, how it ended; cancel and retry."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from characters.models import Character
from jobs import describing, readable
from jobs.admin import showing
from jobs.admin.job_page import JobPageAdmin
from jobs.admission import QueueFull
from jobs.cancelling import NotCancellable, cancel_job
from jobs.deleting import delete_job, is_deletable
from jobs.models import Job
from jobs.retrying import NotRetryable, retry_job

MESSAGE_LENGTH = 90


class EngineFilter(admin.SimpleListFilter):
    title = "engine"
    parameter_name = "engine"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("held", "at work or stopping"), ("gone", "not involved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        if self.value() is None:
            return queryset
        return queryset.filter(holder__isnull=self.value() != "held")


@admin.register(Job)
class JobAdmin(JobPageAdmin):
    list_display = (
        "id",
        "kind",
        "status_badge",
        "character",
        "progress_and_message",
        "age",
        "duration",
        "attempt_and_place",
    )
    list_filter = ("kind", "status", "slot", EngineFilter)
    list_per_page = 50
    search_fields = ("id", "character_id", "character_name", "correlation_id", "error_message", "config__prompt")
    search_help_text = "Id, character, correlation id, error or prompt."
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    actions = ("cancel_selected", "retry_selected")

    class Media:
        css = showing.STYLES

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        name = Character.objects.filter(pk=OuterRef("character_id")).values("name")[:1]
        jobs: QuerySet[Job] = super().get_queryset(request)
        return jobs.select_related("gpu").annotate(character_name=Subquery(name))

    # --- what may be done ---

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """What has ended has no priority any more, so there is nothing to save."""
        return super().has_change_permission(request, obj) and (obj is None or not obj.is_terminal)

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or is_deletable(obj))

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: Any) -> None:
        # Only this column: the rest of the row belongs to the worker, which may have written it since it was read.
        Job.objects.filter(pk=obj.pk).update(priority=obj.priority)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Sum up what goes with the jobs. Those that have not ended are protected."""
        jobs = list(objs)
        kept = [f"{job.pk}, which is {job.status}" for job in jobs if not is_deletable(job)]
        lacking = set() if super().has_delete_permission(request) else {"job"}
        listed = [f"Job {job.pk} with its log and published files" for job in jobs]
        return listed, {"jobs": len(jobs)}, lacking, kept

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        delete_job(obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job_id in list(queryset.values_list("pk", flat=True)):
            delete_job(job_id)

    # --- actions ---

    @admin.action(description="Cancel selected jobs", permissions=["change"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        done = self._each(request, queryset, self._cancel)
        self._report(request, done, "cancelled; engines at work stop within seconds")

    @admin.action(description="Retry selected jobs (as new jobs)", permissions=["change"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        done = self._each(request, queryset, self._retry)
        self._report(request, done, "retried")

    def _cancel(self, request: HttpRequest, job: Job) -> None:
        cancel_job(job)
        self.log_change(request, job, "Cancelled.")

    def _retry(self, request: HttpRequest, job: Job) -> None:
        again = retry_job(job)
        self.log_change(request, job, f"Retried as {again.pk}.")
        self.message_user(request, format_html("{} goes on as {}.", job.pk, showing.link(again)), messages.SUCCESS)

    def _each(self, request: HttpRequest, jobs: Iterable[Job], act: Callable[[HttpRequest, Job], None]) -> int:
        """Act on each job, and say which refused and why; return how many did not."""
        done = 0
        for job in jobs:
            try:
                act(request, job)
            except (NotCancellable, NotRetryable, QueueFull) as exc:
                self.message_user(request, f"{job.pk}: {exc}", messages.WARNING)
            else:
                done += 1
        return done

    def _report(self, request: HttpRequest, count: int, done: str) -> None:
        if count:
            noun = "job" if count == 1 else "jobs"
            self.message_user(request, f"{count} {noun} {done}.", messages.SUCCESS)

    # --- what is shown ---

    @admin.display(description="Status", ordering="status")
    def status_badge(self, job: Job) -> SafeString:
        return showing.badge(job.status)

    @admin.display(description="Character", ordering="character_name")
    def character(self, job: Any) -> SafeString | str:
        return showing.character(job)

    @admin.display(description="Age", ordering="-created_at")
    def age(self, job: Job) -> SafeString | str:
        return showing.age(job.created_at)

    @admin.display(description="Duration")
    def duration(self, job: Job) -> str:
        return readable.duration(job.elapsed_seconds)

    @admin.display(description="Attempt, slot, worker", ordering="attempt")
    def attempt_and_place(self, job: Job) -> SafeString:
        worker = (job.holder or {}).get("worker", {})
        place = format_html("<br>{}<br><small>process {}</small>", job.slot, worker.get("pid", "?")) if job.slot else ""
        return format_html("{}{}", job.attempt, place)

    @admin.display(description="Progress and message", ordering="progress")
    def progress_and_message(self, job: Job) -> SafeString:
        text = describing.said(job)
        said = format_html('<div class="said" title="{}">{}</div>', text, readable.shortened(text, MESSAGE_LENGTH))
        return format_html("{}{}", showing.progress_bar(job), said)
