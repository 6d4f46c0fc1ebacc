"""Who is trained: a character, its photos, and the LoRAs made of them."""

import secrets

from django.core.validators import MinLengthValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from characters import wording

NAME_MAX_LENGTH = 100
DESCRIPTION_MAX_LENGTH = 2000
TRIGGER_WORD_MIN_LENGTH = 2
TRIGGER_WORD_MAX_LENGTH = 50
FILE_NAME_MAX_LENGTH = 200
CAPTION_MAX_LENGTH = 2000
KEY_MAX_LENGTH = 255
SHA256_LENGTH = 64


def new_character_id() -> str:
    return f"char-{secrets.token_hex(6)}"


def new_lora_id() -> str:
    return f"lora-{secrets.token_hex(6)}"


class Character(models.Model):
    id = models.CharField(primary_key=True, max_length=32, default=new_character_id, editable=False)
    name = models.CharField(max_length=NAME_MAX_LENGTH, validators=[wording.check_line])
    description = models.TextField(  # noqa: DJ001 -- the contract tells null from "".
        null=True, blank=True, max_length=DESCRIPTION_MAX_LENGTH, validators=[wording.check_paragraphs]
    )
    trigger_word = models.CharField(
        max_length=TRIGGER_WORD_MAX_LENGTH,
        validators=[MinLengthValidator(TRIGGER_WORD_MIN_LENGTH), wording.check_trigger_word],
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    # Counts the versions given out, not those that exist: ComfyUI caches LoRAs by file name, so none may come twice.
    lora_versions_issued = models.PositiveIntegerField(default=0, editable=False)
    # Null: the newest. Without a constraint, because a process of an earlier release, which does not know the column,
    # must still be able to delete the LoRA; a name of one that is gone means null.
    current_lora = models.ForeignKey(
        "Lora",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )

    class Meta:
        indexes = [models.Index(F("created_at").desc(), F("id").desc(), name="character_newest_first")]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="character_has_a_name"),
            models.CheckConstraint(condition=~Q(trigger_word=""), name="character_has_a_trigger_word"),
        ]

    def __str__(self) -> str:
        return self.name


class TrainingImage(models.Model):
    character = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="images")
    name = models.CharField(max_length=FILE_NAME_MAX_LENGTH)
    key = models.CharField(max_length=KEY_MAX_LENGTH, unique=True)
    sha256_as_sent = models.CharField(max_length=SHA256_LENGTH)
    sha256 = models.CharField(max_length=SHA256_LENGTH)
    content_type = models.CharField(max_length=50)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    bytes = models.PositiveBigIntegerField()
    caption = models.TextField(  # noqa: DJ001 -- null: nobody has written one.
        null=True, blank=True, max_length=CAPTION_MAX_LENGTH, validators=[wording.check_paragraphs]
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # What the dataset report measured of the picture, kept because its file never changes; null: not measured yet.
    traits = models.JSONField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["character", "sha256_as_sent"], name="image_sent_once_per_character"),
            models.UniqueConstraint(fields=["character", "name"], name="image_name_unique_per_character"),
        ]

    def __str__(self) -> str:
        return self.name


class Lora(models.Model):
    """A trained version of a character, or an upload, which has neither character nor version."""

    id = models.CharField(primary_key=True, max_length=32, default=new_lora_id, editable=False)
    character = models.ForeignKey(Character, null=True, blank=True, on_delete=models.CASCADE, related_name="loras")
    version = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    name = models.CharField(max_length=FILE_NAME_MAX_LENGTH)
    key = models.CharField(max_length=KEY_MAX_LENGTH, unique=True)
    trigger_word = models.CharField(max_length=TRIGGER_WORD_MAX_LENGTH, blank=True, default="")
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=SHA256_LENGTH)
    base_model = models.CharField(max_length=100, blank=True, default="")
    job_id = models.CharField(max_length=64, blank=True, default="")
    details = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "LoRA"
        constraints = [
            models.UniqueConstraint(fields=["character", "version"], name="lora_version_unique_per_character"),
            models.CheckConstraint(
                condition=Q(character__isnull=True, version__isnull=True)
                | Q(character__isnull=False, version__isnull=False, version__gte=1),
                name="lora_of_a_character_has_a_version",
            ),
            models.UniqueConstraint(
                fields=["sha256"], condition=Q(character__isnull=True), name="uploaded_lora_kept_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name
