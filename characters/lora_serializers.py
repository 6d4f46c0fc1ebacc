"""What the API takes and gives for the LoRA library."""

from typing import get_args

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from base_models import Family
from characters import models, wording
from characters.serializers import Text

FAMILIES = get_args(Family)


class LoraFields(serializers.Serializer[models.Lora]):
    """The texts of the form; its file is streamed to disk before they are looked at."""

    name = Text(max_length=models.NAME_MAX_LENGTH, validators=[wording.check_line])
    trigger_word = Text(
        min_length=models.TRIGGER_WORD_MIN_LENGTH,
        max_length=models.TRIGGER_WORD_MAX_LENGTH,
        required=False,
        allow_blank=True,
        validators=[wording.check_trigger_word],
        help_text="The word that the LoRA was trained on, if it needs one. Left out or empty: the one that the file's "
        "metadata name, if they name one.",
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


@extend_schema_serializer(component_name="LoraTrainer")
class TrainerAnswer(serializers.Serializer[None]):
    """The program that trained it. Texts are empty where its folder does not tell."""

    name = serializers.CharField()
    version = serializers.CharField(allow_blank=True)
    commit = serializers.CharField(allow_blank=True, help_text="Of its Git checkout.")


@extend_schema_serializer(component_name="LoraAttempt")
class LoraAttemptAnswer(serializers.Serializer[None]):
    attempt = serializers.IntegerField(min_value=1)
    start_step = serializers.IntegerField(min_value=0, help_text="The checkpoint that it went on from; 0 for none.")
    dataset_hash = serializers.CharField(allow_blank=True)


@extend_schema_serializer(component_name="LoraContinued")
class ContinuedAnswer(serializers.Serializer[None]):
    job_id = serializers.CharField()
    step = serializers.IntegerField(min_value=0)


@extend_schema_serializer(component_name="LoraTraining")
class LoraTrainingAnswer(serializers.Serializer[None]):
    """How it was trained here; the file's own metadata say the same."""

    dataset_hash = serializers.CharField(
        allow_blank=True,
        help_text="SHA-256 of a sorted list with one line per image: `<image's SHA-256> <caption's SHA-256>`, each "
        "ended by a line feed. The same images with the same captions have the same hash.",
    )
    image_count = serializers.IntegerField(min_value=0)
    caption_strategy = serializers.CharField(allow_blank=True)
    image_ids = serializers.ListField(child=serializers.IntegerField())
    params = serializers.DictField(help_text="Every parameter, as in the `config` of the job.")
    seed = serializers.IntegerField(allow_null=True)
    trainer = TrainerAnswer()
    isengard_version = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    attempts = LoraAttemptAnswer(many=True)
    continues = ContinuedAnswer(
        allow_null=True, help_text="The earlier training that this one went on from; null if it began at the beginning."
    )


@extend_schema_serializer(component_name="LoraDetails")
class LoraFullAnswer(LoraAnswer):
    character_id = serializers.CharField(allow_null=True, help_text="Null for uploads.")
    version = serializers.IntegerField(min_value=1, allow_null=True)
    job_id = serializers.CharField(allow_null=True, help_text="The training that made it.")
    sha256 = serializers.CharField()
    base_model = serializers.CharField(allow_null=True, help_text="Null where an upload does not tell for certain.")
    family = serializers.ChoiceField(
        FAMILIES, allow_null=True, help_text="Models of one family share their LoRAs; null where it is not known."
    )
    ranks = serializers.ListField(child=serializers.IntegerField(min_value=1))
    alpha = serializers.FloatField(allow_null=True)
    steps = serializers.IntegerField(min_value=1, allow_null=True)
    tensor_count = serializers.IntegerField(min_value=1, allow_null=True)
    module_count = serializers.IntegerField(min_value=1, allow_null=True)
    layouts = serializers.ListField(child=serializers.CharField())
    dtypes = serializers.ListField(child=serializers.CharField())
    training = LoraTrainingAnswer(allow_null=True, help_text="Null for uploads.")
    metadata = serializers.DictField(
        child=serializers.CharField(),
        help_text="What the metadata of an upload say: at most 50 texts of at most 500 characters.",
    )


@extend_schema_serializer(component_name="LoraLibrary")
class LibraryAnswer(serializers.Serializer[None]):
    loras = LoraAnswer(many=True)
    total_count = serializers.IntegerField(min_value=0, help_text="Before `limit` and `offset`; as in X-Total-Count.")


@extend_schema_serializer(component_name="LoraDeleted")
class LoraDeletedAnswer(serializers.Serializer[None]):
    status = serializers.ChoiceField(["deleted"])
    id = serializers.CharField()
