"""What every page that starts a job shares: who may, once for each form, who did it, and what was wrong in it."""

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from rest_framework.exceptions import APIException

from jobs.idempotency import MAX_KEY_LENGTH, KeyReused, RequestKey, Submission
from jobs.models import Job

SEES = "jobs.view_job"
STARTS = "jobs.add_job"
KEY_FIELD = "request_key"
SENT_BEFORE = "This form was sent before, with other values, and started a job. Send it again to start another one."

Complaints = Mapping[str, list[str]]
"""What is wrong, by the path of the parameter; what is wrong with none in particular is under ""."""


def fresh_key() -> str:
    """Return the name of one opened form: sent twice, it starts one job."""
    return secrets.token_urlsafe(16)


def key_of(request: HttpRequest, endpoint: str) -> RequestKey | None:
    sent = request.POST.get(KEY_FIELD, "")
    is_usable = sent.isascii() and sent.isprintable() and 0 < len(sent) <= MAX_KEY_LENGTH
    return RequestKey(f"admin-{request.user.pk}:{endpoint}", sent) if is_usable else None


def correlation_id_of(request: HttpRequest) -> str:
    return str(getattr(request, "correlation_id", ""))


def complaints_of(exc: APIException) -> Complaints:
    """Return a refusal by the path of the parameter, below `config` if it is there."""
    if isinstance(exc, KeyReused):
        return {"": [SENT_BEFORE]}
    found: dict[str, list[str]] = {}
    for path, text in _flat(exc.detail, ""):
        found.setdefault(path.removeprefix("config.").removeprefix("config"), []).append(text[:1].upper() + text[1:])
    return found


def _flat(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flat(inner, path)
    else:
        yield path, str(detail)


def go_to_job(request: HttpRequest, submission: Submission, done: str) -> HttpResponseRedirect:
    """Lead to the job's page; who started it is in its history. `done` says what it was started from."""
    job, address = submission.job, page_of(submission.job)
    if submission.is_new:
        admin.site.get_model_admin(Job).log_addition(request, job, done)
        messages.success(request, format_html('<a href="{}">{}</a> is started.', address, job.pk))
    else:
        messages.info(request, format_html('This was sent before: <a href="{}">{}</a> does it.', address, job.pk))
    return HttpResponseRedirect(address)


def page_of(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])
