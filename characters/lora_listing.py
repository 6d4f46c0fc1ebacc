"""LoRAs as the API shows them: rows in lists, and one with all that is known of it."""

from typing import Any, Literal

from django.db.models import QuerySet
from django.db.models.fields.json import KT

from characters.files import public_path
from characters.lora_facts import family_of, fits
from characters.models import Lora

Source = Literal["uploaded", "trained", "all"]
SOURCES: tuple[Source, ...] = ("uploaded", "trained", "all")

COLUMNS = ("id", "name", "key", "trigger_word", "size_bytes", "created_at", "sent_as")


def lora_rows(source: Source = "all", *, base_model: str | None = None) -> QuerySet[Lora, dict[str, Any]]:
    """Return LoRAs, newest first, only those that work with `base_model` if one is given: raises KeyError then.

    Each row becomes an answer by `as_answer`.
    """
    loras = Lora.objects.annotate(sent_as=KT("details__filename"))
    if source != "all":
        loras = loras.filter(character__isnull=source == "uploaded")
    if base_model is not None:
        loras = loras.filter(fits(base_model))
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


def as_full_answer(lora: Lora) -> dict[str, Any]:
    """Return the answer of the list and everything else that is known."""
    details = lora.details
    row = {name: getattr(lora, name) for name in COLUMNS if name != "sent_as"}
    return as_answer({**row, "sent_as": details.get("filename")}) | {
        "character_id": lora.character_id,
        "version": lora.version,
        "job_id": lora.job_id or None,
        "sha256": lora.sha256,
        "base_model": lora.base_model or None,
        "family": family_of(lora),
        "ranks": details.get("ranks", []),
        "alpha": details.get("alpha"),
        "steps": details.get("step"),
        "tensor_count": details.get("tensor_count"),
        "module_count": details.get("module_count"),
        "layouts": details.get("layouts", []),
        "dtypes": details.get("dtypes", []),
        "training": details.get("training"),
        "metadata": details.get("metadata", {}),
    }
