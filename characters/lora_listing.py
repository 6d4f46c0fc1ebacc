"""LoRAs as the API shows them: rows, not objects."""

from typing import Any, Literal

from django.db.models import QuerySet
from django.db.models.fields.json import KT

from characters.files import public_path
from characters.models import Lora

Source = Literal["uploaded", "trained", "all"]
SOURCES: tuple[Source, ...] = ("uploaded", "trained", "all")

COLUMNS = ("id", "name", "key", "trigger_word", "size_bytes", "created_at", "sent_as")


def lora_rows(source: Source = "all") -> QuerySet[Lora, dict[str, Any]]:
    """Return LoRAs, newest first; each row becomes an answer by `as_answer`."""
    loras = Lora.objects.annotate(sent_as=KT("details__filename"))
    if source != "all":
        loras = loras.filter(character__isnull=source == "uploaded")
    rows: QuerySet[Lora, dict[str, Any]] = loras.values(*COLUMNS)
    return rows.order_by("-created_at", "-id")


def as_answer(row: dict[str, Any]) -> dict[str, Any]:
    key = row["key"]
    return {
        "id": row["id"],
        "name": row["name"],
        "filename": row["sent_as"] or key.rsplit("/", 1)[-1],
        "trigger_word": row["trigger_word"] or None,
        "size_bytes": row["size_bytes"],
        "uploaded_at": row["created_at"],
        "path": public_path(key),
    }
