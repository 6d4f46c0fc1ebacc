"""Photos, one by one and across all characters."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from characters import images
from characters.admin import showing
from characters.admin.deleting import DeletingAdmin
from characters.models import TrainingImage

MEASURED = ("content_type", "width", "height", "bytes", "created_at")


@admin.register(TrainingImage)
class TrainingImageAdmin(DeletingAdmin):
    list_display = ("name", "character", "thumbnail", *MEASURED)
    list_select_related = ("character",)
    list_filter = ("content_type",)
    list_per_page = 50
    search_fields = ("name", "character__name", "character__id", "sha256", "sha256_as_sent")
    fields = ("thumbnail", "name", "character", "caption", "key", *MEASURED, "sha256", "sha256_as_sent")
    readonly_fields = ("thumbnail", "name", "character", "key", *MEASURED, "sha256", "sha256_as_sent")

    class Media:
        css = showing.STYLES

    @admin.display(description="Image")
    def thumbnail(self, image: TrainingImage) -> SafeString:
        return showing.linked_thumbnail(image)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: TrainingImage, form: Any, change: Any) -> None:
        # Only this column: the report may have measured the picture since the row was read.
        TrainingImage.objects.filter(pk=obj.pk).update(caption=obj.caption)

    def delete_model(self, request: HttpRequest, obj: TrainingImage) -> None:
        images.delete_image(obj.pk)
