"""What the API takes and gives for the LoRA library."""

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from characters import models, wording
from characters.serializers import Text


class LoraFields(serializers.Serializer[models.Lora]):
    """The texts of the form; its file is streamed to disk before they are looked at."""

    name = Text(max_length=models.NAME_MAX_LENGTH, validators=[wording.check_line])
    trigger_word = Text(
        min_length=models.TRIGGER_WORD_MIN_LENGTH,
        max_length=models.TRIGGER_WORD_MAX_LENGTH,
        required=False,
        allow_blank=True,
        validators=[wording.check_trigger_word],
        help_text="The word that the LoRA was trained on, if it needs one.",
    )


class LoraForm(LoraFields):
    file = serializers.FileField(help_text="A .safetensors file of at most 500 MB.")


# For the schema alone: answers themselves are made of rows.
@extend_schema_serializer(component_name="Lora")
class LoraAnswer(serializers.Serializer[models.Lora]):
    id = serializers.CharField()
    name = serializers.CharField()
    filename = serializers.CharField(help_text="The name of an upload as it was sent, or of a trained version.")
    trigger_word = serializers.CharField(allow_null=True)
    size_bytes = serializers.IntegerField(min_value=0)
    uploaded_at = serializers.DateTimeField(help_text="For a trained version, when it was trained.")
    path = serializers.CharField()


@extend_schema_serializer(component_name="LoraLibrary")
class LibraryAnswer(serializers.Serializer[None]):
    loras = LoraAnswer(many=True)
    total_count = serializers.IntegerField(min_value=0, help_text="Before `limit` and `offset`; as in X-Total-Count.")


@extend_schema_serializer(component_name="LoraDeleted")
class LoraDeletedAnswer(serializers.Serializer[None]):
    status = serializers.ChoiceField(["deleted"])
    id = serializers.CharField()
