"""The LoRAs of a generation in a form: rows of an id and a strength, and what there is to choose from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from base_models import MODELS
from characters.listing import with_counts
from characters.lora_facts import family_of
from characters.models import Character, Lora
from generation.params import MAX_LORAS
from isengard.cockpit.start.fields import about_field, as_number, as_text
from isengard.cockpit.start.submitting import Complaints

USUAL_STRENGTH = 1.0
FEWEST_ROWS = 3
MAX_SUGGESTIONS = 300
"""Of characters and of LoRAs, the newest; others are named by their ids."""
NAMES = ("lora_id", "lora_strength", "loras")


@dataclass(frozen=True, slots=True)
class Row:
    """As it was filled in; `strength` is a number unless none was."""

    lora_id: str
    strength: Any


@dataclass(frozen=True, slots=True)
class Suggestion:
    value: str
    text: str


def rows_sent(sent: QueryDict) -> list[Row]:
    """Return the rows that name something, closed up."""
    numbered = [(sent.get(f"lora-{n}", "").strip(), sent.get(f"strength-{n}", "").strip()) for n in range(MAX_LORAS)]
    return [
        Row(given, as_number(strength, "float") if strength else USUAL_STRENGTH)
        for given, strength in numbered
        if given
    ]


def as_config(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the parameters that name these LoRAs."""
    if not rows:
        return {}
    first, *others = rows
    more = [{"lora_id": row.lora_id, "strength": row.strength} for row in others]
    return {"lora_id": first.lora_id, "lora_strength": first.strength} | ({"loras": more} if more else {})


def as_change(rows: Sequence[Row]) -> dict[str, Any]:
    """The same for a job that had others."""
    return {"lora_id": None, "lora_strength": USUAL_STRENGTH, "loras": []} | as_config(rows)


def rows_of(order: Mapping[str, Any]) -> list[Row]:
    """Return the LoRAs that a job was made with, in the versions that it used."""
    return [Row(str(lora["id"]), lora.get("strength", USUAL_STRENGTH)) for lora in order.get("loras", [])]


def told(rows: Sequence[Row], suggestions: Sequence[Suggestion], complaints: Complaints) -> list[dict[str, Any]]:
    """Return the rows of the form, empty ones behind."""
    titles = {each.value: each.text for each in suggestions}
    shown = [*rows, *[Row("", USUAL_STRENGTH)] * max(FEWEST_ROWS - len(rows), int(len(rows) < MAX_LORAS))]
    return [
        {
            "number": number,
            "lora_id": row.lora_id,
            "strength": as_text(row.strength),
            "title": titles.get(row.lora_id, ""),
            "errors": list(_errors(number, complaints)),
            "strength_errors": about_field(_strength(number), complaints),
        }
        for number, row in enumerate(shown)
    ]


def _errors(number: int, complaints: Complaints) -> Iterator[str]:
    if number == 0:
        yield from about_field("lora_id", complaints)
        yield from complaints.get("loras", [])
    else:
        others = {path: found for path, found in complaints.items() if path != _strength(number)}
        yield from about_field(f"loras.{number - 1}", others)


def _strength(number: int) -> str:
    return f"loras.{number - 1}.strength" if number else "lora_strength"


def suggestions() -> list[Suggestion]:
    """Return the characters that have a LoRA, then all LoRAs, each the newest first, from two queries."""
    return [*map(_of_character, _characters()), *map(_of_lora, _loras())]


def _characters() -> Any:
    counted: Any = with_counts(Character.objects.all())
    trained = counted.filter(lora_version__isnull=False)
    return trained.order_by("-created_at", "-pk")[:MAX_SUGGESTIONS]


def _loras() -> Any:
    return Lora.objects.select_related("character").order_by("-created_at", "-pk")[:MAX_SUGGESTIONS]


def _of_character(character: Any) -> Suggestion:
    return Suggestion(character.pk, f"{character.name}, its current LoRA (v{character.lora_version})")


def _of_lora(lora: Lora) -> Suggestion:
    family = family_of(lora)
    made_for = next((model.title for model in MODELS.values() if model.family == family), "an unknown model")
    whose = f"{lora.character.name} v{lora.version}" if lora.character else f"{lora.name}, uploaded"
    return Suggestion(lora.pk, f"{whose}, for {made_for}")
