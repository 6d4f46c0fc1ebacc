"""The page on which a generation is started."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_http_methods
from rest_framework.exceptions import APIException

from generation import offers
from generation.kind import GenerationKind
from generation.params import COUNT_RANGE, TOGGLES
from isengard.cockpit.start import loras, timing
from isengard.cockpit.start.fields import about_field, about_none, as_text
from isengard.cockpit.start.generation import (
    AGAIN,
    COUNT,
    DECLARED,
    INDEX,
    LAYOUT,
    MODEL,
    PRESET,
    WORKFLOW,
    AgainForm,
    GenerationForm,
    taken,
)
from isengard.cockpit.start.grouping import Card, Preset, differing, usual_texts
from isengard.cockpit.start.submitting import STARTS, Complaints, complaints_of, fresh_key, go_to_job
from jobs.models import Job


@require_http_methods(["GET", "HEAD", "POST"])
def generate(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(STARTS):
        raise PermissionDenied
    complaints: Complaints = {}
    form = _form(request)
    if request.method == "POST":
        try:
            submission = form.submit(request)
        except APIException as exc:
            complaints = complaints_of(exc)
        else:
            return go_to_job(request, submission, "Generation started from the form.")
    return render(request, "cockpit/start/generation.html", _page(request, form, complaints))


def _form(request: HttpRequest) -> GenerationForm:
    given = request.POST if request.method == "POST" else request.GET
    earlier = given.get(AGAIN)
    if earlier:
        form = AgainForm.of(_earlier(earlier), _index(given.get(INDEX, "")))
        return form.filled(given) if request.method == "POST" else form
    return GenerationForm.sent(given) if request.method == "POST" else GenerationForm.opened(given)


def _earlier(job_id: str) -> Job:
    job = Job.objects.filter(pk=job_id, kind=GenerationKind.name).first() if "\0" not in job_id else None
    if job is None:
        raise Http404
    return job


def _index(text: str) -> int | None:
    is_in_range = text.isascii() and text.isdigit() and len(text) < 3
    return int(text) if is_in_range and int(text) < COUNT_RANGE[1] else None


def _page(request: HttpRequest, form: GenerationForm, complaints: Complaints) -> dict[str, Any]:
    info = offers.info()
    named = [*DECLARED, MODEL, PRESET, WORKFLOW, COUNT, *timing.PATHS]
    return {
        **admin.site.each_context(request),
        **_origin(info, form),
        **_painters(info, form, complaints),
        **_parameters(form, complaints),
        "timing": form.timing.told(complaints),
        "complaints": complaints,
        "general_errors": about_none(named, complaints),
        "stale": info.get("reason", ""),
        "request_key": fresh_key(),
    }


def _origin(info: Mapping[str, Any], form: GenerationForm) -> dict[str, Any]:
    if isinstance(form, AgainForm):
        facts = _facts_again(info, form.job)
        return {"title": "Generate, with changes", "earlier": form.job, "index": form.index, "facts": facts}
    return {"title": "Generate", "earlier": None, "index": None, "facts": _facts(info)}


def _painters(info: Mapping[str, Any], form: GenerationForm, complaints: Complaints) -> dict[str, Any]:
    return {
        "cards": [_card(name, about, form.model) for name, about in info["models"].items()],
        "model_field": MODEL,
        "model_errors": about_field(MODEL, complaints),
        "presets": list(_presets(info, form.preset)),
        "preset_errors": about_field(PRESET, complaints),
        "workflows": list(_workflows(info, form.workflow)),
        "workflow_errors": about_field(WORKFLOW, complaints),
    }


def _parameters(form: GenerationForm, complaints: Complaints) -> dict[str, Any]:
    usual, suggestions = form.usual, loras.suggestions()
    first, later = LAYOUT.groups(DECLARED, values={**usual, **form.asked}, usual=usual, complaints=complaints)
    return {
        "groups": first,
        "more_groups": later,
        "lora_rows": loras.told(form.rows, suggestions, complaints),
        "lora_suggestions": suggestions,
        "count": as_text(form.count),
        "count_range": COUNT_RANGE,
        "count_errors": about_field(COUNT, complaints),
    }


def _card(name: str, about: Mapping[str, Any], chosen: str) -> Card:
    defaults = about["defaults"]
    return Card(
        name=name,
        title=about["title"],
        facts=[f"{defaults['steps']} steps, guidance {defaults['guidance_scale']:g}", about["licence"].split(";")[0]],
        state="here" if about["available"] else "not here",
        is_ready=about["available"],
        note=about.get("reason", ""),
        is_chosen=name == chosen,
    )


def _presets(info: Mapping[str, Any], chosen: str) -> Iterator[Preset]:
    yield Preset(name="", title="None", text="the model's defaults", is_usable=True, is_chosen=not chosen)
    for name, about in info["presets"].items():
        yield Preset(
            name=name,
            title=about["title"],
            text=about["description"] if about["available"] else about["reason"],
            is_usable=about["available"],
            is_chosen=name == chosen,
        )


def _workflows(info: Mapping[str, Any], chosen: str) -> Iterator[Preset]:
    for name, about in info["workflows"].items():
        yield Preset(
            name=name,
            title=about["title"],
            text=about.get("reason", ""),
            is_usable=about["available"],
            is_chosen=name == chosen,
        )


def _facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the browser fills in, and says, when another model, preset or workflow is chosen."""
    usual = usual_texts(DECLARED)
    names = ["", *(name for name, about in info["presets"].items() if about["available"])]
    return {
        **_abilities(info),
        "usual": usual,
        "fills": {
            model: {preset: differing(taken(model, preset), usual) for preset in names} for model in info["models"]
        },
        "workflows": {name: about["parameters"] for name, about in info["workflows"].items()},
    }


def _facts_again(info: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """The same where nothing is filled in: everything is as it was."""
    workflow = job.order.get("workflow") or {}
    return {**_abilities(info), "takes": info["workflows"].get(workflow.get("name"), {}).get("parameters")}


def _abilities(info: Mapping[str, Any]) -> dict[str, Any]:
    lacking = {model: _lacks(info, model) for model in info["models"]}
    return {"notes": lacking, "off": {model: list(switches) for model, switches in lacking.items()}}


def _lacks(info: Mapping[str, Any], model: str) -> dict[str, str]:
    """Return, by switch, why it cannot be used with this model."""
    by_switch = {toggle: info["toggles"][toggle]["models"][model] for toggle in TOGGLES}
    return {
        toggle: f"Not available: {told.get('reason', '')}"
        for toggle, told in by_switch.items()
        if not told["supported"]
    }


urlpatterns = [path("generate/", admin.site.admin_view(generate), name="generate")]
