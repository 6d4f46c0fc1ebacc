"""Jobs: what runs, what waits, how it ended; cancel and retry."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from characters.models import Character
from jobs import describing, readable
from jobs.admin import showing
from jobs.admin.files import ArtifactInline
from jobs.cancelling import NotCancellable, cancel_job
from jobs.deleting import delete_job, is_deletable
from jobs.log_reading import newest_entries
from jobs.models import Job
from jobs.retrying import NotRetryable, retry_job

logger = logging.getLogger(__name__)

LOG_LINES = 100
MESSAGE_LENGTH = 90
FIELDSETS: Any = (
    (None, {"fields": ("id", ("kind", "character"), ("status_badge", "progress_shown"), "said", "priority")}),
    (f"Log, the last {LOG_LINES} lines", {"fields": ("log_tail",)}),
    ("Where it runs", {"fields": (("slot", "gpu_link"), "holder_in_words", ("attempt", "crashes", "heartbeat_age"))}),
    ("How it goes", {"fields": (("stage", "measured", "remaining"), ("age", "duration"))}),
    ("Times", {"fields": (("created_at", "run_after"), ("started_at", "completed_at"))}),
    ("What was asked for", {"fields": ("pretty_config", "pretty_order")}),
    ("Results and traces", {"fields": ("output_key", "log_key", "correlation_id")}),
)


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
class JobAdmin(ModelAdmin):
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
    fieldsets = FIELDSETS
    readonly_fields = tuple(name for name in flatten_fieldsets(FIELDSETS) if name != "priority")
    inlines = (ArtifactInline,)
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
            except (NotCancellable, NotRetryable) as exc:
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
        if job.character_id is None:
            return readable.NOTHING
        if job.character_name:
            return showing.character_link(job.character_id, job.character_name)
        return f"{job.order.get('character_name') or job.character_id} (deleted)"

    @admin.display(description="Progress")
    def progress_shown(self, job: Job) -> SafeString:
        return showing.progress_bar(job)

    @admin.display(description="Age", ordering="-created_at")
    def age(self, job: Job) -> SafeString | str:
        return showing.age(job.created_at)

    @admin.display(description="Duration")
    def duration(self, job: Job) -> str:
        return readable.duration(job.elapsed_seconds)

    @admin.display(description="Measured")
    def measured(self, job: Job) -> str:
        return showing.measurements(job)

    @admin.display(description="Remaining")
    def remaining(self, job: Job) -> str:
        return readable.duration(job.eta_seconds)

    @admin.display(description="Attempt, slot, worker", ordering="attempt")
    def attempt_and_place(self, job: Job) -> SafeString:
        worker = (job.holder or {}).get("worker", {})
        place = format_html("<br>{}<br><small>process {}</small>", job.slot, worker.get("pid", "?")) if job.slot else ""
        return format_html("{}{}", job.attempt, place)

    @admin.display(description="Message")
    def said(self, job: Job) -> str:
        return describing.said(job) or readable.NOTHING

    @admin.display(description="Progress and message", ordering="progress")
    def progress_and_message(self, job: Job) -> SafeString:
        text = describing.said(job)
        said = format_html('<div class="said" title="{}">{}</div>', text, readable.shortened(text, MESSAGE_LENGTH))
        return format_html("{}{}", showing.progress_bar(job), said)

    @admin.display(description="GPU")
    def gpu_link(self, job: Job) -> SafeString | str:
        return showing.link(job.gpu) if job.gpu else readable.NOTHING

    @admin.display(description="Held by")
    def holder_in_words(self, job: Job) -> SafeString | str:
        return showing.holder(job)

    @admin.display(description="Last heartbeat")
    def heartbeat_age(self, job: Job) -> str:
        return f"{readable.age(job.heartbeat_at)} ago" if job.heartbeat_at else readable.NOTHING

    @admin.display(description="Parameters")
    def pretty_config(self, job: Job) -> SafeString:
        return showing.pretty_json(job.config)

    @admin.display(description="Resolved when it was accepted")
    def pretty_order(self, job: Job) -> SafeString:
        return showing.pretty_json(job.order)

    @admin.display(description="Log")
    def log_tail(self, job: Job) -> SafeString | str:
        try:
            return showing.log_lines(newest_entries(job, LOG_LINES))
        except OSError as exc:
            logger.warning("A log cannot be read: %s", exc, extra={"job": job.pk})
            return f"The log {job.log_key} cannot be read: {exc}"
