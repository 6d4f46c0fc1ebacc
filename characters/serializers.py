"""What the API takes and gives for characters."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from characters import models, wording


class Text(serializers.CharField):
    """A string that came as a string: a number is refused rather than converted."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class CharacterInput(serializers.Serializer[models.Character]):
    name = Text(max_length=models.NAME_MAX_LENGTH, validators=[wording.check_line])
    description = Text(
        max_length=models.DESCRIPTION_MAX_LENGTH,
        required=False,
        allow_null=True,
        allow_blank=True,
        validators=[wording.check_paragraphs],
    )
    trigger_word = Text(
        min_length=models.TRIGGER_WORD_MIN_LENGTH,
        max_length=models.TRIGGER_WORD_MAX_LENGTH,
        validators=[wording.check_trigger_word],
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(key) for key in data if key not in self.fields]
            if unknown:
                raise serializers.ValidationError({key[:100]: ["There is no such field."] for key in unknown[:10]})
        return super().to_internal_value(data)


@extend_schema_serializer(component_name="Character")
class CharacterAnswer(serializers.Serializer[models.Character]):
    """Describes the answer in the schema; answers themselves are made of rows."""

    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    trigger_word = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    image_count = serializers.IntegerField(min_value=0)
    lora_path = serializers.CharField(allow_null=True)
    lora_trained_at = serializers.DateTimeField(allow_null=True)


class PhotosInput(serializers.Serializer[None]):
    files = serializers.ListField(child=serializers.FileField(), min_length=1)


class RefusalAnswer(serializers.Serializer[None]):
    filename = serializers.CharField()
    reason = serializers.CharField()


class UploadAnswer(serializers.Serializer[None]):
    uploaded = serializers.ListField(child=serializers.CharField())
    rejected = RefusalAnswer(many=True)
    total_images = serializers.IntegerField(min_value=0)


class ImagesAnswer(serializers.Serializer[None]):
    images = serializers.ListField(child=serializers.CharField())
    count = serializers.IntegerField(min_value=0)


@extend_schema_serializer(component_name="Error")
class ErrorAnswer(serializers.Serializer[None]):
    detail = serializers.CharField()
