"""What operators do to several jobs of the list at once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from jobs import ordering, readable
from jobs.admin import showing
from jobs.admin.job_buttons import REFUSALS, press
from jobs.deleting import NotDeletable, delete_job, is_deletable
from jobs.models import WAITING, Artifact, Job

# More lines than that nobody reads, and messages travel in a cookie.
NAMED_REFUSALS = 10
FIRST_STARTED_FIRST = ("-priority", "created_at", "id")
Reorder = Callable[[Sequence[str]], list[Job]]


class PriorityForm(forms.Form):
    priority = forms.IntegerField(
        min_value=-ordering.MAX_PRIORITY,
        max_value=ordering.MAX_PRIORITY,
        initial=0,
        help_text="Higher starts first; 0 is usual.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


class JobActionsAdmin(ModelAdmin):
    """Each job is done by itself: those that refuse are named, with their reason, and the others go on."""

    actions = (
        *("cancel_selected", "retry_selected", "restart_selected", "move_to_front", "move_to_back", "prioritise"),
        *("save_now", "sample_now"),
    )

    @admin.action(description="Cancel", permissions=["change"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._press_all(request, queryset, "cancel", "cancelled; engines at work stop within seconds")

    @admin.action(
        description="Retry as new jobs (from the newest checkpoint, where there is one)", permissions=["change"]
    )
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._press_all(request, queryset, "retry", "retried")

    @admin.action(description="Retry as new jobs, from the beginning", permissions=["change"])
    def restart_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._press_all(request, queryset, "restart", "retried from the beginning")

    @admin.action(description="Save a checkpoint now", permissions=["change"])
    def save_now(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._press_all(request, queryset, "save", "asked for a checkpoint")

    @admin.action(description="Make samples now", permissions=["change"])
    def sample_now(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._press_all(request, queryset, "sample", "asked for samples")

    @admin.action(description="Move to the front of the queue", permissions=["change"])
    def move_to_front(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._reorder(request, queryset, ordering.move_to_front, "moved to the front")

    @admin.action(description="Move to the back of the queue", permissions=["change"])
    def move_to_back(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._reorder(request, queryset, ordering.move_to_back, "moved to the back")

    @admin.action(description="Change the priority…", permissions=["change"])
    def prioritise(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Ask for the priority first."""
        form = PriorityForm(request.POST if "priority" in request.POST else None)
        if not form.is_valid():
            return self._ask_for_priority(request, queryset, form)
        priority = form.cleaned_data["priority"]
        reorder: Reorder = lambda ids: ordering.prioritise(ids, priority)  # noqa: E731
        self._reorder(request, queryset, reorder, f"given priority {priority}")
        return None

    def _ask_for_priority(self, request: HttpRequest, queryset: QuerySet[Job], form: PriorityForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Change the priority",
            "opts": self.opts,
            "jobs": queryset,
            "form": form,
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/jobs/job/priority.html", context)

    def _press_all(self, request: HttpRequest, jobs: QuerySet[Job], verb: str, done: str) -> None:
        count, refused = 0, []
        for job in jobs:
            try:
                result = press(verb, job)
            except REFUSALS as exc:
                refused.append(_signed(job, str(exc)))
            except Job.DoesNotExist:
                refused.append(f"{job.pk}: has been deleted.")
            else:
                count += 1
                self.log_change(request, job, result.message)
                self._lead_to(request, job, result.job)
        self._report(request, count, done, refused)

    def _lead_to(self, request: HttpRequest, job: Job, again: Job) -> None:
        if again.pk != job.pk:
            self.message_user(request, format_html("{} goes on as {}.", job.pk, showing.link(again)), messages.SUCCESS)

    def _reorder(self, request: HttpRequest, jobs: QuerySet[Job], reorder: Reorder, done: str) -> None:
        """Reorder those that wait, all at once, so that they keep their order among themselves."""
        chosen = list(jobs.order_by(*FIRST_STARTED_FIRST))
        waiting = [job for job in chosen if job.status in WAITING and not job.token]
        refused = [f"{job.pk}: does not wait, it is {job.status}." for job in chosen if job not in waiting]
        try:
            moved = reorder([job.pk for job in waiting])
        except ordering.NotMovable as exc:
            self._report(request, 0, done, [str(exc), *refused])
            return
        for job in moved:
            self.log_change(request, job, f"{done.capitalize()}: priority {job.priority}.")
        self._report(request, len(moved), done, refused)

    def _report(self, request: HttpRequest, count: int, done: str, refused: Sequence[str] = ()) -> None:
        if count:
            self.message_user(request, f"{count} {_noun(count)} {done}.", messages.SUCCESS)
        for line in refused[:NAMED_REFUSALS]:
            self.message_user(request, line, messages.WARNING)
        if len(refused) > NAMED_REFUSALS:
            self.message_user(request, f"{len(refused) - NAMED_REFUSALS} more refused.", messages.WARNING)

    # --- deleting ---

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Sum up what goes with the jobs. Those that have not ended are protected."""
        jobs = list(objs)
        kept = [f"{job.pk}, which is {job.status}" for job in jobs if not is_deletable(job)]
        lacking = set() if super().has_delete_permission(request) else {"job"}
        files = _files_of(jobs)
        listed = [_what_goes(job, *files.get(job.pk, (0, 0))) for job in jobs]
        count, size_bytes = (sum(column) for column in zip((0, 0), *files.values(), strict=True))
        return listed, {"jobs": len(jobs), "files": f"{count}, {readable.size(size_bytes)}"}, lacking, kept

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        self._delete(request, [obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._delete(request, list(queryset.values_list("pk", flat=True)))

    def _delete(self, request: HttpRequest, job_ids: Iterable[str]) -> None:
        refused = []
        for job_id in job_ids:
            try:
                delete_job(job_id)
            except NotDeletable as exc:
                refused.append(str(exc))
            except Job.DoesNotExist:
                # Somebody else was quicker.
                continue
        self._report(request, 0, "", refused)


def _signed(job: Job, reason: str) -> str:
    return reason if reason.startswith(job.pk) else f"{job.pk}: {reason}"


def _noun(count: int) -> str:
    return "job" if count == 1 else "jobs"


def _files_of(jobs: Sequence[Job]) -> dict[str, tuple[int, int]]:
    """Return how many files each job published, and their bytes."""
    rows = Artifact.objects.filter(job__in=[job.pk for job in jobs]).order_by().values("job_id")
    return {
        row["job_id"]: (row["count"], row["size_bytes"])
        for row in rows.annotate(count=Count("pk"), size_bytes=Sum("size_bytes"))
    }


def _what_goes(job: Job, count: int, size_bytes: int) -> SafeString:
    files = f"{count} {'file' if count == 1 else 'files'} ({readable.size(size_bytes)})" if count else "no files"
    return format_html("{} with its log and {}", showing.link(job), files)
