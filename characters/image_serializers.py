"""What the API takes and gives for a character's images."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from characters import models, wording
from characters.serializers import StrictInput, Text


class PhotosInput(serializers.Serializer[None]):
    files = serializers.ListField(child=serializers.FileField(), min_length=1)


class ArchiveInput(serializers.Serializer[None]):
    file = serializers.FileField(help_text="A ZIP file of at most 1 GiB: images, and `<name>.txt` files with captions.")


class RefusalAnswer(serializers.Serializer[None]):
    filename = serializers.CharField()
    reason = serializers.CharField()


class UploadAnswer(serializers.Serializer[None]):
    uploaded = serializers.ListField(child=serializers.CharField())
    rejected = RefusalAnswer(many=True)
    total_images = serializers.IntegerField(min_value=0)


IMAGE_DETAILS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "filename": {"type": "string"},
        "width": {"type": "integer", "minimum": 1},
        "height": {"type": "integer", "minimum": 1},
        "bytes": {"type": "integer", "minimum": 1},
        "caption": {"type": "string", "nullable": True},
        "added": {"type": "string", "format": "date-time"},
        "content_type": {"type": "string"},
    },
}
IMAGE_DETAILS["required"] = list(IMAGE_DETAILS["properties"])


@extend_schema_field({"anyOf": [{"type": "string"}, IMAGE_DETAILS]})
class ImageEntry(serializers.Field[Any, Any, Any, Any]):
    """An image's name, or with `details=true` what is known of it. An empty list is either, so the list is not."""


class ImagesAnswer(serializers.Serializer[None]):
    images = serializers.ListField(child=ImageEntry())
    count = serializers.IntegerField(min_value=0)


class CaptionInput(StrictInput):
    caption = Text(
        max_length=models.CAPTION_MAX_LENGTH,
        allow_null=True,
        allow_blank=True,
        validators=[wording.check_paragraphs],
        help_text="What the image shows; null: nobody has written that yet.",
    )


class CaptionAnswer(serializers.Serializer[None]):
    filename = serializers.CharField()
    caption = serializers.CharField(allow_null=True)
