"""Characters as the API shows them: rows, not objects, in a number of queries that does not grow with them."""

from typing import Any

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from characters.files import public_path
from characters.loras import CURRENT_FIRST
from characters.models import Character, Lora, TrainingImage

COLUMNS = (
    "id",
    "name",
    "description",
    "trigger_word",
    "created_at",
    "updated_at",
    "image_count",
    "lora_key",
    "lora_trained_at",
)


def with_counts(characters: QuerySet[Character]) -> QuerySet[Character]:
    """Add `image_count`, and `lora_key`, `lora_version` and `lora_trained_at` of the current LoRA (null: none)."""
    images = TrainingImage.objects.filter(character=OuterRef("pk")).order_by().values("character")
    current = Lora.objects.filter(character=OuterRef("pk")).order_by(*CURRENT_FIRST)
    return characters.annotate(
        image_count=Coalesce(Subquery(images.annotate(total=Count("pk")).values("total"), IntegerField()), 0),
        lora_key=Subquery(current.values("key")[:1]),
        lora_version=Subquery(current.values("version")[:1]),
        lora_trained_at=Subquery(current.values("created_at")[:1]),
    )


def character_rows() -> QuerySet[Character, dict[str, Any]]:
    """Return all characters, newest first; each row becomes an answer by `as_answer`."""
    rows: QuerySet[Character, dict[str, Any]] = with_counts(Character.objects.all()).values(*COLUMNS)
    return rows.order_by("-created_at", "-id")


def as_answer(row: dict[str, Any]) -> dict[str, Any]:
    lora_key = row.pop("lora_key")
    return {**row, "lora_path": public_path(lora_key) if lora_key else None}
