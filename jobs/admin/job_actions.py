"""What operators do to several jobs of the list at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from jobs import ordering
from jobs.admin import showing
from jobs.admin.job_buttons import REFUSALS, press
from jobs.models import WAITING, Job

# More lines than that nobody reads, and messages travel in a cookie.
NAMED = 10
SHOWN_JOBS = 50
# Each is locked, written and noted within one request; Django takes a form of up to a thousand fields.
MAX_JOBS_AT_ONCE = 500
FIRST_STARTED_FIRST = ("-priority", "created_at", "id")
WHAT_TO_DO_WITH_MORE = (
    f"the {MAX_JOBS_AT_ONCE} that can be done at once. Narrow the list with its filters, or use the command line: "
    "manage.py jobs cancels and retries, manage.py cleanup deletes."
)
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

    actions: Any = (
        *("cancel_selected", "retry_selected", "restart_selected", "move_to_front", "move_to_back", "prioritise"),
        *("save_now", "sample_now"),
    )

    @admin.action(description="Cancel…", permissions=["change"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Ask first, as a job's own page does."""
        if not is_confirmed(request):
            title = {"title": "Cancel jobs"}
            return self.ask(request, list(queryset), "admin/jobs/job/cancel_selected.html", title)
        self._press_all(request, queryset, "cancel", "cancelled; engines at work stop within seconds")
        return None

    @admin.action(description="Retry as new jobs, from the newest checkpoint", permissions=["change"])
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
            context = {"title": "Change the priority", "form": form}
            return self.ask(request, list(queryset), "admin/jobs/job/priority.html", context)
        priority = form.cleaned_data["priority"]
        reorder: Reorder = lambda ids: ordering.prioritise(ids, priority)  # noqa: E731
        self._reorder(request, queryset, reorder, f"given priority {priority}")
        return None

    def response_action(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Refuse more than one request can do."""
        count = _count_chosen(request, queryset)
        if count > MAX_JOBS_AT_ONCE:
            self.message_user(request, f"{count} jobs are more than {WHAT_TO_DO_WITH_MORE}", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        answer: HttpResponse | None = super().response_action(request, queryset)
        return answer

    def ask(
        self, request: HttpRequest, chosen: Sequence[Job], template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        """Show a page whose form sends the same action for these jobs, by name: what a search finds by then stays."""
        asked = {
            "opts": self.opts,
            "chosen": chosen[:SHOWN_JOBS],
            "chosen_count": len(chosen),
            "more_count": max(0, len(chosen) - SHOWN_JOBS),
            "sent": [job.pk for job in chosen],
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        return TemplateResponse(request, template, self.admin_site.each_context(request) | asked | context)

    def report(self, request: HttpRequest, count: int, done: str, refused: Sequence[str] = ()) -> None:
        """Say how many it was done to, and name those that refused."""
        if count:
            self.message_user(request, f"{count} {'job' if count == 1 else 'jobs'} {done}.", messages.SUCCESS)
        for line in refused[:NAMED]:
            self.message_user(request, line, messages.WARNING)
        if len(refused) > NAMED:
            self.message_user(request, f"{len(refused) - NAMED} more refused.", messages.WARNING)

    def _press_all(self, request: HttpRequest, jobs: QuerySet[Job], verb: str, done: str) -> None:
        pressed, refused = [], []
        for job in jobs:
            try:
                result = press(verb, job)
            except REFUSALS as exc:
                refused.append(f"{job.pk}: {exc}")
            except Job.DoesNotExist:
                refused.append(f"{job.pk}: has been deleted.")
            else:
                pressed.append((job, result.job))
                self.log_change(request, job, result.message)
        for job, again in [(job, again) for job, again in pressed if again.pk != job.pk][:NAMED]:
            self.message_user(request, format_html("{} goes on as {}.", job.pk, showing.link(again)), messages.SUCCESS)
        self.report(request, len(pressed), done, refused)

    def _reorder(self, request: HttpRequest, jobs: QuerySet[Job], reorder: Reorder, done: str) -> None:
        """Reorder those that wait, all at once, so that they keep their order among themselves."""
        chosen = list(jobs.order_by(*FIRST_STARTED_FIRST))
        waiting = [job.pk for job in chosen if job.status in WAITING and not job.token]
        refused = list(_why_unmoved(chosen))
        try:
            moved = reorder(waiting)
        except ordering.NotMovable as exc:
            self.report(request, 0, done, [str(exc), *refused])
            return
        for job in moved:
            self.log_change(request, job, f"{done.capitalize()}: priority {job.priority}.")
        self.report(request, len(moved), done, refused)


def is_confirmed(request: HttpRequest) -> bool:
    """Say whether the form of the page that asks was sent, which names each job and no search."""
    return "post" in request.POST and not _is_search(request)


def _is_search(request: HttpRequest) -> bool:
    return request.POST.get("select_across", "0") not in ("", "0")


def _count_chosen(request: HttpRequest, found: QuerySet[Job]) -> int:
    return found.count() if _is_search(request) else len(request.POST.getlist(ACTION_CHECKBOX_NAME))


def _why_unmoved(jobs: Sequence[Job]) -> Iterator[str]:
    for job in jobs:
        if job.status not in WAITING:
            yield f"{job.pk}: does not wait, it is {job.status}."
        elif job.token:
            yield f"{job.pk}: lies in its engine's queue already."
