"""What is done from a character's page: each act needs its permission, and is in the character's history."""

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from rest_framework.request import Request
from unfold.admin import ModelAdmin

from characters import dataset_report, images, loras, photos, uploading
from characters.admin import showing
from characters.image_serializers import CaptionInput
from characters.models import Character, Lora, TrainingImage
from characters.photo_names import FALLBACK_STEM

# The page asks again until all is measured, so that no request keeps a thread for long.
MEASURING_SECONDS = 1.0
NAMED_IN_HISTORY = 5

View = Callable[..., HttpResponse]


def posted(permission: str) -> Callable[[View], View]:
    """Refuse what is no POST, or comes from somebody without the permission."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(self, request, *args, **kwargs)

        return guarded

    return guard


class CharacterActs(ModelAdmin):
    def get_urls(self) -> list[URLPattern]:
        views: tuple[tuple[str, str, View], ...] = (
            ("photos/", "photos", self.photos_view),
            ("photos/<int:image_id>/caption/", "caption", self.caption_view),
            ("photos/<int:image_id>/delete/", "photo_delete", self.photo_delete_view),
            ("current/", "current", self.current_view),
            ("dataset/", "dataset", self.dataset_view),
        )
        own = [
            path(f"<str:object_id>/{tail}", self.admin_site.admin_view(view), name=f"characters_character_{name}")
            for tail, name, view in views
        ]
        # Before the standard ones: the last of those takes any path for a character's id.
        return [*own, *super().get_urls()]

    @csrf_exempt
    @posted("characters.add_trainingimage")
    def photos_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        # To look for the token is to read the body, so how its files are kept has to be said before.
        request.upload_handlers = [uploading.BoundedFiles(request, max_bytes=photos.MAX_BYTES)]
        checked: View = csrf_protect(self._add_photos)
        return checked(request, object_id)

    def _add_photos(self, request: HttpRequest, object_id: str) -> HttpResponse:
        character = get_object_or_404(Character, pk=object_id)
        try:
            uploading.refuse_without_room(Request(request), max_file_bytes=photos.MAX_BYTES)
            outcome = images.add_photos(character.pk, _sent(request))
        except uploading.StorageLow as low:
            return _answer(request, character, refusal=str(low.detail), status=HTTPStatus.INSUFFICIENT_STORAGE)
        except Character.DoesNotExist as exc:
            raise Http404 from exc
        added = outcome.uploaded
        if added:
            self.log_change(request, character, f"Added {_named(added)}.")
        refused = "; ".join(f"{each.filename}: {each.reason}" for each in outcome.rejected)
        done = f"{len(added)} photo{'' if len(added) == 1 else 's'} added." if added else ""
        return _answer(request, character, done=done, refusal=refused, told=asdict(outcome))

    @posted("characters.change_trainingimage")
    def caption_view(self, request: HttpRequest, object_id: str, image_id: int) -> HttpResponse:
        image = _image(object_id, image_id)
        # Browsers send line breaks as \r\n. What is empty was not written.
        text = request.POST.get("caption", "").replace("\r\n", "\n").strip() or None
        given = CaptionInput(data={"caption": text})
        if not given.is_valid():
            return _answer(
                request, image.character, refusal=str(given.errors["caption"][0]), status=HTTPStatus.BAD_REQUEST
            )
        if text != image.caption:
            TrainingImage.objects.filter(pk=image.pk).update(caption=text)
            said = f"Captioned {image.name}." if text else f"Removed the caption of {image.name}."
            self.log_change(request, image.character, said)
        return _answer(request, image.character, done=f"{image.name}: saved.", told={"caption": text})

    @posted("characters.delete_trainingimage")
    def photo_delete_view(self, request: HttpRequest, object_id: str, image_id: int) -> HttpResponse:
        image = _image(object_id, image_id)
        try:
            images.delete_image(image.pk)
        except TrainingImage.DoesNotExist as exc:
            raise Http404 from exc
        self.log_change(request, image.character, f"Deleted {image.name}.")
        return _answer(request, image.character, done=f"{image.name} is deleted.")

    @posted("characters.change_character")
    def current_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Promote the version that the form names, or with none follow the newest again."""
        character = get_object_or_404(Character, pk=object_id)
        wanted = request.POST.get("lora") or None
        try:
            loras.promote(character.pk, wanted)
        except (Character.DoesNotExist, Lora.DoesNotExist) as exc:
            raise Http404 from exc
        current = loras.current_lora(character.pk)
        name = f"v{current.version}" if current else "none"
        done = f"{name} is the current LoRA." if wanted else f"The newest LoRA is the current one again: {name}."
        self.log_change(request, character, done)
        return _answer(request, character, done=done)

    def dataset_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer the dataset report alone: the page loads it when it is there."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        character = get_object_or_404(Character, pk=object_id)
        dataset_report.measure_missing(character.pk, seconds=MEASURING_SECONDS)
        return render(request, "admin/characters/character/dataset.html", {"report": dataset_report.report(character)})


def _sent(request: HttpRequest) -> list[images.SentPhoto]:
    files: list[Any] = request.FILES.getlist("files")
    return [images.SentPhoto(file.name or FALLBACK_STEM, Path(file.temporary_file_path())) for file in files]


def _image(character_id: str, image_id: int) -> TrainingImage:
    return get_object_or_404(TrainingImage.objects.select_related("character"), pk=image_id, character=character_id)


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:NAMED_IN_HISTORY])
    left = len(names) - NAMED_IN_HISTORY
    return f"{shown} and {left} more" if left > 0 else shown


def _answer(
    request: HttpRequest,
    character: Character,
    *,
    done: str = "",
    refusal: str = "",
    told: dict[str, Any] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> HttpResponse:
    """Answer a script in JSON; lead a form back to the page, which then says the same."""
    if "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"done": done, "detail": refusal, **(told or {})}, status=status)
    for level, text in ((messages.SUCCESS, done), (messages.WARNING, refusal)):
        if text:
            messages.add_message(request, level, text)
    return HttpResponseRedirect(showing.page_of(character))
