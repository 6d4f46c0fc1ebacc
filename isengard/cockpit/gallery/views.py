"""The gallery's pages, and making a picture again from its page."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe
from rest_framework.exceptions import APIException

from characters.models import Character, Lora
from generation.again import RerunRequest, rerun_generation
from generation.kind import GenerationKind
from isengard.api.errors import sentence
from isengard.cockpit.gallery import picture as pictures
from isengard.cockpit.gallery.filters import GalleryFilters
from isengard.cockpit.gallery.paging import Place, neighbours, page_at
from isengard.cockpit.start.submitting import SEES, STARTS, correlation_id_of, fresh_key, go_to_job, key_of
from jobs.models import Artifact

MAX_SUGGESTIONS = 200
"""Of names, the newest, while one types."""
# By what the button sends: the parameters that are to change, and what the trail says of it.
VERBS: Mapping[str, tuple[Mapping[str, None], str]] = MappingProxyType(
    {"same": ({}, "with the same seed"), "new": ({"seed": None}, "with a new seed")}
)


@require_safe
def gallery(request: HttpRequest) -> HttpResponse:
    _refuse_strangers(request)
    filters = GalleryFilters(request.GET)
    page = page_at(filters.narrowed(pictures.all_pictures()), Place.read(request.GET.get("at", "")))
    shown = {picture.pk: picture for picture in pictures.with_origin(_rows(page.pictures))}
    context = {
        "title": "Gallery",
        "filters": filters,
        "page": page,
        "tiles": [pictures.tile_of(shown[picture.pk]) for picture in page.pictures if picture.pk in shown],
        "newer": filters.query(at=str(page.newer)) if page.newer else "",
        "older": filters.query(at=str(page.older)) if page.older else "",
        "filter_query": filters.query(),
        "character_names": _newest_names(Character),
        "lora_names": _newest_names(Lora),
        "may_start": request.user.has_perm(STARTS),
    }
    return render(request, "cockpit/gallery/gallery.html", {**admin.site.each_context(request), **context})


def _rows(found: Any) -> Any:
    return Artifact.objects.filter(pk__in=[picture.pk for picture in found])


def _newest_names(model: type[Character] | type[Lora]) -> list[str]:
    named = model.objects.order_by("-created_at", "-pk").values_list("name", flat=True)
    return list(dict.fromkeys(named[:MAX_SUGGESTIONS]))


@require_safe
def picture(request: HttpRequest, name: str) -> HttpResponse:
    """Show one picture; the filters that it was found by decide which ones are beside it."""
    _refuse_strangers(request)
    shown = _find(name)
    filters = GalleryFilters(request.GET)
    newer, older = neighbours(filters.narrowed(pictures.all_pictures()), shown)
    context = {
        "title": f"Picture of {shown.job_id}",
        "picture": shown,
        "job": shown.job,
        "url": pictures.url_of(shown),
        "prompt": pictures.prompt_of(shown),
        "negative_prompt": shown.details.get("negative_prompt") or shown.job.config.get("negative_prompt", ""),
        "facts": list(pictures.facts_of(shown)),
        "told": pictures.asked_for(shown),
        "loras": pictures.loras_of(shown),
        "downloads": pictures.downloads_of(shown),
        "index": shown.details.get("index", 0),
        "newer": newer,
        "older": older,
        "place": filters.query(at=str(Place.of(shown))),
        "filter_query": filters.query(),
        "may_start": request.user.has_perm(STARTS),
        "request_key": fresh_key(),
    }
    return render(request, "cockpit/gallery/picture.html", {**admin.site.each_context(request), **context})


@require_POST
def rerun(request: HttpRequest, name: str) -> HttpResponse:
    """Make one picture again, and lead to the job that does."""
    if not request.user.has_perm(STARTS):
        raise PermissionDenied
    shown = _find(name)
    verb = request.POST.get("verb", "")
    if verb not in VERBS:
        raise Http404
    changes, how = VERBS[verb]
    wanted = RerunRequest(config=dict(changes), index=shown.details.get("index", 0), count=1)
    key = key_of(request, f"{GenerationKind.name}-{verb}")
    try:
        submission = rerun_generation(shown.job, wanted, correlation_id=correlation_id_of(request), key=key)
    except APIException as exc:
        messages.error(request, f"It cannot be made again. {sentence(exc.detail)}")
        return redirect("admin:gallery_picture", name)
    return go_to_job(request, submission, f"Rerun of {name} {how} from the gallery.")


def _find(name: str) -> Any:
    return get_object_or_404(pictures.with_origin(pictures.all_pictures()), name=name)


def _refuse_strangers(request: HttpRequest) -> None:
    if not request.user.has_perm(SEES):
        raise PermissionDenied


urlpatterns = [
    path("gallery/", admin.site.admin_view(gallery), name="gallery"),
    path("gallery/<str:name>/", admin.site.admin_view(picture), name="gallery_picture"),
    path("gallery/<str:name>/rerun", admin.site.admin_view(rerun), name="gallery_rerun"),
]
