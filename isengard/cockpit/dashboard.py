"""The first page of the admin: what runs, what waits, what broke, at a glance, and the quickest remedies."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils.html import format_html
from django.views.decorators.http import require_POST, require_safe

from characters.models import Character
from isengard.cockpit.overview import failures, figures, health, machines, work
from isengard.cockpit.overview.rows import page_of, read_rows
from jobs.admission import QueueFull
from jobs.cancelling import NotCancellable, cancel_job
from jobs.models import Job
from jobs.retrying import NotRetryable, retry_job

SEES = "jobs.view_job"
ACTS = "jobs.change_job"


def add_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of the first page."""
    return context | {"title": "Dashboard", "overview": _overview(request)}


def _overview(request: HttpRequest) -> dict[str, Any] | None:
    """Return everything that the page tells; None for who may not look at jobs."""
    if not request.user.has_perm(SEES):
        return None
    rows = read_rows()
    first_waiting = work.first_waiting(rows)
    return {
        "lights": health.lights(rows),
        "running": work.running(rows),
        "held_count": len(rows.held),
        "all_running": work.all_running_address(),
        "waiting": first_waiting,
        "waiting_count": max(sum(queue.waiting for queue in rows.queues), len(first_waiting)),
        "all_waiting": work.all_waiting_address(),
        "broken": failures.breakage(rows.now),
        "machines": machines.machines(rows),
        "figures": figures.recent_figures(),
        "now": rows.now,
        "may_act": request.user.has_perm(ACTS),
        "is_new": not (rows.held or rows.waiting or Job.objects.exists()),
        "has_characters": Character.objects.exists(),
    }


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Answer the changing part of the first page alone."""
    context = {"overview": _overview(request)}
    if context["overview"] is None:
        raise PermissionDenied
    return render(request, "cockpit/overview.html", context)


@require_POST
def cancel(request: HttpRequest, job_id: str) -> HttpResponse:
    def act(job: Job) -> None:
        cancel_job(job)
        _note(request, job, "Cancelled from the dashboard.", "{} is cancelled; its engine stops within seconds.", job)

    return _act(request, job_id, act)


@require_POST
def retry(request: HttpRequest, job_id: str) -> HttpResponse:
    def act(job: Job) -> None:
        _refuse_if_retried(job)
        again = retry_job(job)
        _note(request, job, f"Retried from the dashboard as {again.pk}.", "{} is retried as {}.", job, again)

    return _act(request, job_id, act)


def _refuse_if_retried(job: Job) -> None:
    """A page that was loaded before still has the button; whoever wants it twice finds it on the job's own page."""
    before = failures.retries_of([job]).get(job.pk)
    if before is not None:
        raise NotRetryable(f"It has been retried already, as {before.pk}, which is {before.status}.")


def _act(request: HttpRequest, job_id: str, act: Callable[[Job], None]) -> HttpResponse:
    if not request.user.has_perm(ACTS):
        raise PermissionDenied
    job = get_object_or_404(Job, pk=job_id)
    try:
        act(job)
    except (NotCancellable, NotRetryable, QueueFull) as exc:
        messages.warning(request, f"{job.pk}: {exc}")
    return redirect("admin:index")


def _note(request: HttpRequest, job: Job, done: str, said: str, *jobs: Job) -> None:
    """Record who did it, and say so with links to the jobs."""
    admin.site.get_model_admin(Job).log_change(request, job, done)
    links = [format_html('<a href="{}">{}</a>', page_of(each), each.pk) for each in jobs]
    messages.success(request, format_html(said, *links))


urlpatterns = [
    path("overview/", admin.site.admin_view(overview), name="overview"),
    path("overview/cancel/<str:job_id>", admin.site.admin_view(cancel), name="overview_cancel"),
    path("overview/retry/<str:job_id>", admin.site.admin_view(retry), name="overview_retry"),
]
