"""LoRAs: the versions of all characters, and what was uploaded. They are promoted, verified and deleted, not edited."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from characters import lora_verification, loras
from characters.admin import showing
from characters.admin.character_acts import posted
from characters.admin.deleting import DeletingAdmin
from characters.admin.exporting import ExportingAdmin
from characters.admin.lora_page import VERIFIED, page_of
from characters.admin.own_page import OwnPageAdmin
from characters.models import Lora

FILE_TYPE = "application/octet-stream"


class SourceFilter(admin.SimpleListFilter):
    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("current", "trained, current"), ("older", "trained, not current"), ("uploaded", "uploaded")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Lora]) -> QuerySet[Lora]:
        match self.value():
            case "current":
                return queryset.filter(pk=F("current_id"))
            case "older":
                return queryset.filter(~Q(pk=F("current_id")), character__isnull=False)
            case "uploaded":
                return queryset.filter(character__isnull=True)
        return queryset


@admin.register(Lora)
class LoraAdmin(ExportingAdmin, OwnPageAdmin, DeletingAdmin):
    refusals = (loras.LoraInUse,)
    list_display = ("name", "owner", "state", "trigger_word", "base_model", "size", "age")
    list_select_related = ("character",)
    list_filter = (SourceFilter, "base_model")
    list_per_page = 50
    search_fields = ("id", "name", "trigger_word", "job_id", "character__name", "character__id")
    search_help_text = "Id, name, trigger word, training or character."
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    fields = ()
    export_columns = {
        **{name: attrgetter(name) for name in ("id", "name", "character_id")},
        "character_name": lambda lora: lora.character.name if lora.character else None,
        "version": attrgetter("version"),
        "is_current": lambda lora: lora.pk == lora.current_id,
        **{name: attrgetter(name) for name in ("trigger_word", "base_model", "size_bytes", "sha256", "job_id")},
        "created_at": attrgetter("created_at"),
    }
    change_form_template = "admin/characters/lora/change_form.html"

    class Media:
        css = showing.STYLES

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lora]:
        siblings = Lora.objects.filter(character=OuterRef("character")).order_by(*loras.CURRENT_FIRST)
        found: QuerySet[Lora] = super().get_queryset(request)
        return found.annotate(current_id=Subquery(siblings.values("pk")[:1]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Lora | None = None) -> bool:
        return False

    # --- what is shown ---

    @admin.display(description="Character", ordering="character__name")
    def owner(self, lora: Lora) -> SafeString | str:
        return showing.link(lora.character) if lora.character else "uploaded"

    @admin.display(description="Version", ordering="version")
    def state(self, lora: Any) -> SafeString | str:
        if lora.version is None:
            return showing.NOTHING
        mark = format_html(' <span class="badge badge-completed">{}</span>', "current")
        return format_html("v{}{}", lora.version, mark if lora.pk == lora.current_id else "")

    @admin.display(description="Size", ordering="size_bytes")
    def size(self, lora: Lora) -> str:
        return filesizeformat(lora.size_bytes)

    @admin.display(description="Age", ordering="-created_at")
    def age(self, lora: Lora) -> SafeString | str:
        return showing.age(lora.created_at)

    def shown_beside(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return page_of(row, request.user) | {"title": row.name}

    # --- what is done ---

    def get_urls(self) -> list[URLPattern]:
        wrapped = self.admin_site.admin_view
        own = [
            path("<str:object_id>/verify/", wrapped(self.verify_view), name="characters_lora_verify"),
            path("<str:object_id>/download/", wrapped(self.download_view), name="characters_lora_download"),
        ]
        return [*own, *super().get_urls()]

    @posted("characters.change_lora")
    def verify_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Hold the file against its row, and keep what was found with the row."""
        lora = get_object_or_404(Lora, pk=object_id)
        problems = lora_verification.differences(lora)
        _keep_result(lora.pk, problems)
        said = " ".join(["Verified:", *(problems or ["the file is what it was when it was stored."])])
        self.log_change(request, lora, said)
        self.message_user(request, f"{lora.name}: {said}", messages.ERROR if problems else messages.SUCCESS)
        return HttpResponseRedirect(showing.page_of(lora))

    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        lora = get_object_or_404(Lora, pk=object_id)
        try:
            content = default_storage.open(lora.key)
        except OSError as exc:
            raise Http404(f"The file {lora.key} cannot be opened.") from exc
        return FileResponse(content, as_attachment=True, filename=file_name(lora), content_type=FILE_TYPE)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Sum up what goes. A LoRA that a job still needs is protected."""
        chosen = list(objs)
        lacking = set() if self.has_delete_permission(request) else {"LoRA"}
        kept = [reason for lora in chosen if (reason := _why_kept(lora))]
        return list(_what_goes(chosen)), {"LoRAs": len(chosen)}, lacking, kept

    def delete_model(self, request: HttpRequest, obj: Lora) -> None:
        loras.delete_lora(obj.pk)


def file_name(lora: Lora) -> str:
    """Return the name of an upload as it was sent, or one that tells whose version it is."""
    return str(lora.details.get("filename") or f"{lora.name}.safetensors")


@transaction.atomic
def _keep_result(lora_id: str, problems: list[str]) -> None:
    lora = loras.hold(lora_id)
    if lora is not None:
        details = lora.details | {VERIFIED: {"at": timezone.now().isoformat(), "problems": problems}}
        Lora.objects.filter(pk=lora_id).update(details=details)


def _what_goes(chosen: Iterable[Lora]) -> Iterable[str]:
    gone = {lora.pk for lora in chosen}
    for lora in chosen:
        told = f"LoRA {lora} with its file of {filesizeformat(lora.size_bytes)}"
        yield told + _who_takes_over(lora, gone)


def _who_takes_over(lora: Lora, gone: set[str]) -> str:
    if lora.character_id is None:
        return ""
    current = loras.current_lora(lora.character_id)
    if current is None or current.pk != lora.pk:
        return ""
    heir = loras.current_lora(lora.character_id, ~Q(pk__in=gone))
    return f"; it is the current version, then {f'v{heir.version} is' if heir else 'there is none'}"


def _why_kept(lora: Lora) -> str:
    try:
        loras.check_deletable(lora.pk)
    except loras.LoraInUse as used:
        return str(used)
    return ""
