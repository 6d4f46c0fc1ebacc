"""Characters: who is there, how far each has come, and the way to each one's page."""

from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Exists, F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from characters import lifecycle
from characters.admin import related, showing
from characters.admin.character_acts import CharacterActs
from characters.admin.character_page import page_of
from characters.admin.deleting import DeletingAdmin
from characters.admin.exporting import ExportingAdmin
from characters.admin.own_page import OwnPageAdmin
from characters.listing import with_counts
from characters.models import Character, Lora, TrainingImage

EDITED = ("name", "trigger_word", "description")
TRAINED_WITHIN_DAYS = {"7": "in the last 7 days", "30": "in the last 30 days"}


class LoraFilter(admin.SimpleListFilter):
    title = "LoRA"
    parameter_name = "lora"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("some", "has one"), ("none", "has none yet"), ("promoted", "an older one was promoted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Character]) -> QuerySet[Character]:
        loras = Lora.objects.filter(character=OuterRef("pk"))
        match self.value():
            case "some":
                return queryset.filter(Exists(loras))
            case "none":
                return queryset.exclude(Exists(loras))
            case "promoted":
                return queryset.filter(Exists(loras.filter(version__gt=F("character__current_lora__version"))))
        return queryset


class TrainedFilter(admin.SimpleListFilter):
    title = "trained"
    parameter_name = "trained"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(TRAINED_WITHIN_DAYS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Character]) -> QuerySet[Character]:
        days = self.value()
        if days not in TRAINED_WITHIN_DAYS:
            return queryset
        since = timezone.now() - timedelta(days=int(days))
        return queryset.filter(Exists(Lora.objects.filter(character=OuterRef("pk"), created_at__gte=since)))


class PhotosFilter(admin.SimpleListFilter):
    title = "photos"
    parameter_name = "photos"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("some", "has some"), ("none", "has none yet")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Character]) -> QuerySet[Character]:
        photos = Exists(TrainingImage.objects.filter(character=OuterRef("pk")))
        if self.value() == "some":
            return queryset.filter(photos)
        return queryset.exclude(photos) if self.value() == "none" else queryset


class CharacterList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        latest = related.source().last_activity([row.pk for row in rows])
        for row in rows:
            row.last_activity = max(row.updated_at, latest.get(row.pk, row.updated_at))
        self.result_list: Any = rows


@admin.register(Character)
class CharacterAdmin(ExportingAdmin, CharacterActs, OwnPageAdmin, DeletingAdmin):
    list_display = (
        "photo",
        "name",
        "trigger_word",
        "image_count",
        "current_version",
        "lora_count",
        "active",
        "created_at",
    )
    list_display_links = ("photo", "name")
    list_filter = (LoraFilter, TrainedFilter, PhotosFilter)
    list_per_page = 50
    search_fields = ("id", "name", "trigger_word")
    search_help_text = "Id, name or trigger word."
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    fields = EDITED
    export_columns = {
        name: attrgetter(name)
        for name in ("id", *EDITED, "image_count", "lora_version", "lora_count", "created_at", "updated_at")
    }
    change_form_template = "admin/characters/character/change_form.html"

    class Media:
        css = showing.STYLES

    def get_queryset(self, request: HttpRequest) -> QuerySet[Character]:
        photos = TrainingImage.objects.filter(character=OuterRef("pk")).order_by("pk")
        versions = Lora.objects.filter(character=OuterRef("pk")).order_by().values("character")
        return with_counts(super().get_queryset(request)).annotate(
            photo_name=Subquery(photos.values("name")[:1]),
            lora_count=Coalesce(Subquery(versions.annotate(total=Count("pk")).values("total"), IntegerField()), 0),
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CharacterList

    # --- what is shown ---

    @admin.display(description="Photo")
    def photo(self, character: Any) -> SafeString:
        if not character.photo_name:
            return format_html('<span class="char-thumb"><span class="cp-spoken">{}</span></span>', "No photo yet")
        return showing.thumbnail(character.pk, character.photo_name)

    @admin.display(description="Photos", ordering="image_count")
    def image_count(self, character: Any) -> int:
        return int(character.image_count)

    @admin.display(description="Current LoRA", ordering="lora_version")
    def current_version(self, character: Any) -> str:
        return f"v{character.lora_version}" if character.lora_version else showing.NOTHING

    @admin.display(description="Versions", ordering="lora_count")
    def lora_count(self, character: Any) -> int:
        return int(character.lora_count)

    @admin.display(description="Last activity")
    def active(self, character: Any) -> SafeString | str:
        return showing.age(character.last_activity)

    def shown_beside(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        hidden = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return page_of(row, request.user) | hidden | {"title": row.name}

    # --- what is done ---

    def save_model(self, request: HttpRequest, obj: Character, form: Any, change: Any) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        # Only what was edited: a training may have issued a version since the row was read.
        edited = {name: getattr(obj, name) for name in EDITED}
        Character.objects.filter(pk=obj.pk).update(**edited, updated_at=timezone.now())

    def response_post_save_add(self, request: HttpRequest, obj: Character) -> HttpResponseRedirect:
        """Lead to the new character's page: its photos are what comes next."""
        return HttpResponseRedirect(showing.page_of(obj))

    def response_post_save_change(self, request: HttpRequest, obj: Character) -> HttpResponseRedirect:
        return HttpResponseRedirect(showing.page_of(obj))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Sum up what goes with the characters."""
        ids = [character.pk for character in objs]
        photos, versions = Count("images", distinct=True), Count("loras", distinct=True)
        rows = list(Character.objects.filter(pk__in=ids).annotate(photos=photos, versions=versions))
        lacking = set() if self.has_delete_permission(request) else {"character"}
        told = [
            f"{row.name} ({row.pk}) with {row.photos} photos and {row.versions} LoRAs, and their files; its jobs that "
            "have not ended are cancelled"
            for row in rows
        ]
        totals = {
            "characters": len(rows),
            "photos": sum(row.photos for row in rows),
            "LoRAs": sum(row.versions for row in rows),
        }
        return told, totals, lacking, []

    def delete_model(self, request: HttpRequest, obj: Character) -> None:
        lifecycle.delete_character(obj.pk)
