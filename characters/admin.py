"""What operators see of characters. Rows that a machine writes can be looked at and deleted, not edited."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline

from characters import images, lifecycle, loras
from characters.listing import with_counts
from characters.models import Character, Lora, TrainingImage

MEASURED = ("content_type", "width", "height", "bytes", "created_at")


class Thumbnailed:
    @admin.display(description="Image")
    def thumbnail(self, image: TrainingImage) -> SafeString:
        url = reverse("character-image", args=[image.character_id, image.name])
        shown = '<a href="{0}"><img src="{0}?size=160" alt="{1}" height="80" loading="lazy"></a>'
        return format_html(shown, url, image.name)


class ImageInline(Thumbnailed, TabularInline):
    model = TrainingImage
    extra = 0
    # Removing an image removes its file too, which an inline would forget.
    can_delete = False
    fields = ("thumbnail", "name", "caption", *MEASURED)
    readonly_fields = ("thumbnail", "name", *MEASURED)
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Character)
class CharacterAdmin(ModelAdmin):
    list_display = ("name", "trigger_word", "image_count", "newest_version", "created_at")
    search_fields = ("id", "name", "trigger_word")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = ("id", "name", "trigger_word", "description", "lora_versions_issued", "created_at", "updated_at")
    readonly_fields = ("id", "lora_versions_issued", "created_at", "updated_at")
    inlines = (ImageInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Character]:
        return with_counts(super().get_queryset(request))

    @admin.display(description="Images", ordering="image_count")
    def image_count(self, character: Any) -> int:
        return int(character.image_count)

    @admin.display(description="Newest LoRA", ordering="lora_version")
    def newest_version(self, character: Any) -> str | None:
        return f"v{character.lora_version}" if character.lora_version else None

    def save_model(self, request: HttpRequest, obj: Character, form: Any, change: Any) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Character) -> None:
        lifecycle.delete_character(obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Character]) -> None:
        for character_id in list(queryset.values_list("pk", flat=True)):
            lifecycle.delete_character(character_id)


@admin.register(TrainingImage)
class TrainingImageAdmin(Thumbnailed, ModelAdmin):
    list_display = ("name", "character", "thumbnail", *MEASURED)
    list_select_related = ("character",)
    list_filter = ("content_type",)
    search_fields = ("name", "character__name", "character__id", "sha256", "sha256_as_sent")
    fields = ("thumbnail", "name", "character", "caption", "key", *MEASURED, "sha256", "sha256_as_sent")
    readonly_fields = ("thumbnail", "name", "character", "key", *MEASURED, "sha256", "sha256_as_sent")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: TrainingImage) -> None:
        images.delete_image(obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TrainingImage]) -> None:
        for image_id in list(queryset.values_list("pk", flat=True)):
            images.delete_image(image_id)


@admin.register(Lora)
class LoraAdmin(ModelAdmin):
    list_display = ("name", "character", "version", "trigger_word", "base_model", "size_bytes", "created_at")
    list_select_related = ("character",)
    list_filter = ("base_model",)
    search_fields = ("id", "name", "trigger_word", "job_id", "character__name", "character__id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Lora | None = None) -> bool:
        return False

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Sum up what goes. A LoRA that a generation still needs is protected."""
        chosen = list(objs)
        lacking = set() if self.has_delete_permission(request) else {"LoRA"}
        kept = [reason for lora in chosen if (reason := _why_kept(lora))]
        return [f"LoRA {lora} with its file" for lora in chosen], {"LoRAs": len(chosen)}, lacking, kept

    def delete_model(self, request: HttpRequest, obj: Lora) -> None:
        loras.delete_lora(obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Lora]) -> None:
        for lora_id in list(queryset.values_list("pk", flat=True)):
            loras.delete_lora(lora_id)


def _why_kept(lora: Lora) -> str:
    try:
        loras.check_deletable(lora.pk)
    except loras.LoraInUse as used:
        return str(used)
    return ""
