"""The page of one job: all that is known of it, live while it runs, and what can be done."""

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from characters.admin.own_page import OwnPageAdmin
from characters.admin.showing import address_of
from characters.models import Lora
from jobs import describing, gpus, in_words, kinds, queue, readable, waiting
from jobs.admin import job_files, showing
from jobs.admin.job_buttons import REFUSALS, buttons, press
from jobs.admin.job_lineage import relatives
from jobs.admin.job_timeline import timeline
from jobs.admin.job_trouble import trouble_of
from jobs.in_words import Told
from jobs.log_reading import Entry, newest_entries
from jobs.log_search import LEVELS
from jobs.models import WAITING, Artifact, Job
from jobs.resume_points import ResumePoint

logger = logging.getLogger(__name__)

LOG_LINES = 100
PERMISSION = "jobs.change_job"
Facts = list[tuple[str, Any]]


class JobPageAdmin(OwnPageAdmin):
    """The single page. Its form has the priority alone: a machine writes all the rest."""

    change_form_template = "admin/jobs/job/change_form.html"
    fields = ("priority",)

    def get_urls(self) -> list[URLPattern]:
        act = self.admin_site.admin_view(self.act_view)
        standard: list[URLPattern] = super().get_urls()
        # Before them: the last of theirs takes any path for a job's id.
        return [path("<path:object_id>/act/", act, name="jobs_job_act"), *standard]

    def act_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Do what a button of the page says; who did it is in the job's history."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        job = Job.objects.filter(pk=unquote(object_id)).first()
        if job is None:
            raise Http404
        shown = self._act(request, job, request.POST.get("verb", ""))
        return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[shown.pk]))

    def _act(self, request: HttpRequest, job: Job, verb: str) -> Job:
        """Return the job to look at next."""
        try:
            done = press(verb, job)
        except KeyError as exc:
            raise Http404 from exc
        except Job.DoesNotExist as exc:
            raise Http404 from exc
        except REFUSALS as exc:
            self.message_user(request, str(exc), messages.WARNING)
            return job
        self.log_change(request, job, done.message)
        self.message_user(request, f"{job.pk}: {done.message}", messages.SUCCESS)
        return done.job

    def shown_beside(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        shown = page_of(row, may_act=request.user.has_perm(PERMISSION))
        return shown | {"show_save_and_continue": False, "title": f"{shown['headline']} {row.pk}"}


def page_of(job: Job, *, may_act: bool) -> dict[str, Any]:
    """Return what the page's template shows, from a number of queries that is the same for every job."""
    files = list(job.artifacts.all())
    tail, log_trouble = _tail(job)
    return {
        "job": job,
        "headline": _headline(job),
        "character": showing.character(job),
        "said": describing.said(job),
        **_loras(job),
        "relatives": relatives(job),
        "buttons": buttons(job) if may_act else [],
        "trouble": trouble_of(job, tail),
        "is_live": not job.is_terminal,
        "has_loss": _has_loss(job),
        "waits": _why_it_waits(job),
        "live_facts": _live_facts(job),
        "place_facts": _place_facts(job),
        "moments": timeline(job, job.attempts.all(), files),
        "told": _asked_for(job),
        "log_lines": log_trouble or showing.log_lines(tail),
        "log_levels": LEVELS,
        "engine_config": job_files.engine_config(files),
        "raw": _raw(job),
        "api": f"/api/jobs/{quote(job.pk)}",
        **_pictures_and_files(job, files),
    }


def _loras(job: Job) -> dict[str, Any]:
    """Return the LoRA that it trained and those that it uses, as far as they are still there."""
    used = [lora["id"] for lora in job.order.get("loras", []) if "id" in lora]
    found = list(Lora.objects.filter(Q(job_id=job.pk) | Q(pk__in=used)))
    trained = next((lora for lora in found if lora.job_id == job.pk), None)
    return {
        "lora": trained,
        "lora_size": readable.size(trained.size_bytes) if trained else "",
        "used_loras": [lora for lora in found if lora.pk in used],
    }


def _headline(job: Job) -> str:
    return kinds.get(job.kind).title if job.kind in kinds.names() else job.kind.capitalize()


def _has_loss(job: Job) -> bool:
    return job.kind in kinds.names() and kinds.get(job.kind).measures_loss


def _tail(job: Job) -> tuple[list[Entry], str]:
    """Return the newest lines, and what to say instead where they cannot be read."""
    try:
        return newest_entries(job, LOG_LINES), ""
    except OSError as exc:
        logger.warning("A log cannot be read: %s", exc, extra={"job": job.pk})
        return [], f"The log {job.log_key} cannot be read: {exc}"


def _why_it_waits(job: Job) -> dict[str, Any]:
    if job.status not in WAITING or job.kind not in kinds.names():
        return {}
    reason = waiting.messages([job]).get(job.pk) or "Claimed; it starts as soon as its engine does"
    return {"reason": reason, "position": queue.positions([job]).get(job.pk)}


def _live_facts(job: Job) -> list[tuple[str, str, str]]:
    """Return name, label and value of what the stream keeps telling."""
    known = [
        ("stage", "Stage", job.stage.replace("_", " ")),
        ("step", "Step", f"{job.current_step} of {job.total_steps}" if job.total_steps else readable.NOTHING),
        ("speed", "Speed", _number(job.iteration_speed, "{:.2f} steps/s")),
        ("eta", "Remaining", readable.duration(job.eta_seconds)),
        ("elapsed", "Running for", readable.duration(job.elapsed_seconds)),
    ]
    if _has_loss(job):
        known.append(("loss", "Loss", _number(job.current_loss, "{:.4f}")))
        known.append(("rate", "Learning rate", _rate(job.learning_rate)))
    return [*known, ("gpu", "GPU", _gpu(job))]


def _gpu(job: Job) -> str:
    figures = gpus.figures_of(job)
    return readable.NOTHING if figures is None else gpus.in_words(figures)


def _number(value: float | None, form: str) -> str:
    return readable.NOTHING if value is None else form.format(value)


def _rate(rate: float | None) -> str:
    return readable.NOTHING if rate is None else readable.number(rate, 2)


def _place_facts(job: Job) -> Facts:
    held: Facts = [("Held by", showing.holder(job))] if job.holder is not None else []
    known: Facts = [
        ("Slot", job.slot),
        ("GPU", showing.link(job.gpu) if job.gpu else ""),
        ("Attempts", f"{job.attempt}, {job.crashes} of them crashed" if job.crashes else job.attempt or ""),
        ("Heartbeat", f"{readable.age(job.heartbeat_at)} ago" if job.heartbeat_at and job.holder else ""),
        ("Priority", job.priority),
        ("Correlation id", job.correlation_id),
        ("Result", job.output_key),
        ("Archived log", job.log_key),
    ]
    return [*held, *((label, value) for label, value in known if value != "")]


def _asked_for(job: Job) -> dict[str, list[Told]]:
    """Return the parameters, the telling ones apart from those that were left at their defaults."""
    kind = kinds.get(job.kind) if job.kind in kinds.names() else None
    told = list(kind.asked_for(job) if kind else in_words.undeclared(job.config))
    return {
        "telling": [each for each in told if each.is_telling],
        "usual": [each for each in told if not each.is_telling],
    }


def _pictures_and_files(job: Job, files: Sequence[Artifact]) -> dict[str, Any]:
    prompts = job_files.sample_prompts(job)
    rounds = job_files.rounds(job, files, prompts)
    return {
        "sample_rounds": rounds,
        "sample_headings": job_files.headings(rounds, prompts),
        "outputs": job_files.outputs(files),
        "gallery": address_of("gallery", job=job.pk),
        "checkpoints": job_files.checkpoints(job, files),
        "begins_at": ResumePoint.of(job),
    }


def _raw(job: Job) -> list[tuple[str, Any]]:
    """Return the row's JSON, for whoever needs it to the letter."""
    held = (("Parameters", job.config), ("Resolved when it was accepted", job.order), ("Told by the engine", job.facts))
    return [(title, showing.pretty_json(value)) for title, value in held if value]
