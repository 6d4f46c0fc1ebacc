"""Jobs: the list of all of them, how they are narrowed and exported, and their priority."""

from operator import attrgetter
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from characters.admin.exporting import ExportingAdmin
from characters.models import Character
from jobs import describing, ordering, readable
from jobs.admin import job_filters, showing
from jobs.admin.job_deletion import JobDeletionAdmin
from jobs.admin.job_page import JobPageAdmin
from jobs.deleting import is_deletable
from jobs.models import WAITING, Job

MESSAGE_LENGTH = 90


def _is_movable(job: Job) -> bool:
    return job.status in WAITING and not job.token


@admin.register(Job)
class JobAdmin(ExportingAdmin, JobDeletionAdmin, JobPageAdmin):
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
    list_filter = (
        *(job_filters.KindFilter, job_filters.StatusFilter, job_filters.CauseFilter, job_filters.CharacterFilter),
        ("created_at", job_filters.DaysFilter),
        ("completed_at", job_filters.DaysFilter),
        *(job_filters.SlotFilter, job_filters.EngineFilter),
    )
    list_filter_submit = True
    list_per_page = 50
    search_fields = ("id", "character_id", "character_name", "correlation_id", "error_message", "config__prompt")
    search_help_text = "Id, character, correlation id, error or prompt."
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    export_columns = {
        **{name: attrgetter(name) for name in describing.BRIEF},
        "character_name": lambda job: job.character_name or job.order.get("character_name"),
        "failure_cause": attrgetter("failure_cause"),
        "crashes": attrgetter("crashes"),
        "gpu": lambda job: str(job.gpu) if job.gpu else None,
        "retry_of": lambda job: job.order.get("retry_of"),
        "correlation_id": attrgetter("correlation_id"),
        "config": attrgetter("config"),
    }

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
        """Only what waits has a place in the queue, so there is nothing to save of the rest."""
        return super().has_change_permission(request, obj) and (obj is None or _is_movable(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or is_deletable(obj))

    # --- its priority ---

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ordering.NotMovable as exc:
            self.message_user(request, str(exc), messages.WARNING)
            return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[quote(unquote(object_id or ""))]))

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: Any) -> None:
        """Raises NotMovable: it may have been claimed since it was read."""
        ordering.prioritise([obj.pk], obj.priority)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: Any = False) -> Any:  # noqa: FBT002
        return f"Given priority {form.cleaned_data['priority']}."

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
