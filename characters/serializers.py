"""What the API takes and gives for characters."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from characters import models, wording


class Text(serializers.CharField):
    """A string that came as a string: a number is refused rather than converted."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictInput(serializers.Serializer[Any]):
    """A body in which every key must be a known one."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(key) for key in data if key not in self.fields]
            if unknown:
                raise serializers.ValidationError({key[:100]: ["There is no such field."] for key in unknown[:10]})
        return super().to_internal_value(data)


class CharacterInput(StrictInput):
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


# For the schema alone: answers themselves are made of rows.
class CharacterAnswer(serializers.Serializer[models.Character]):
    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    trigger_word = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    image_count = serializers.IntegerField(min_value=0)
    lora_path = serializers.CharField(allow_null=True)
    lora_trained_at = serializers.DateTimeField(allow_null=True)


class ErrorAnswer(serializers.Serializer[None]):
    detail = serializers.CharField()
