"""Which LoRAs a generation uses: found by what the request names, held, and checked against the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from rest_framework import exceptions

from base_models import MODELS
from characters.lora_facts import family_of, fits
from characters.loras import current_lora, hold
from characters.models import Character, Lora
from generation.params import VARIANTS, GenerationParams

UPLOADED = "uploaded:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenLora:
    """`field` is the parameter that names it, for messages."""

    field: str
    lora: Lora
    strength: float

    def as_order(self) -> dict[str, Any]:
        """Return what the run needs and what explains the picture later.

        ComfyUI names files from its LoRA folder on.
        """
        return {
            "id": self.lora.pk,
            "name": self.lora.key.removeprefix("loras/"),
            "strength": self.strength,
            "sha256": self.lora.sha256,
            "version": self.lora.version,
            "title": self.lora.name,
            "base_model": self.lora.base_model,
        }


def choose_loras(params: GenerationParams, *, variant: str | None) -> list[ChosenLora]:
    """Return the LoRAs in the order in which they act; none of them can be deleted before the transaction ends.

    `variant` is the model that they have to fit, None where nobody knows it.
    Raises NotFound, and ValidationError for one that cannot be used.
    """
    asked = list(_asked_for(params))
    _hold_owners([given for _, given, _ in asked])
    chosen = [
        ChosenLora(field=field, lora=_find(given, variant), strength=strength) for field, given, strength in asked
    ]
    _refuse_twice(chosen)
    for each in chosen:
        _refuse_of_other_family(each, variant)
    return chosen


def of_unknown_family(chosen: list[ChosenLora]) -> list[Lora]:
    """Return those that do not say which model they were made for."""
    return [each.lora for each in chosen if family_of(each.lora) is None]


def _asked_for(params: GenerationParams) -> Iterator[tuple[str, str, float]]:
    if params.lora_id is not None:
        yield "lora_id", params.lora_id, params.lora_strength
    for index, choice in enumerate(params.loras):
        yield f"loras.{index}.lora_id", choice.lora_id, choice.strength


def _hold_owners(given: list[str]) -> None:
    """Lock every character in question in one order, so that two requests cannot wait for each other."""
    names = [name.removeprefix(UPLOADED) for name in given]
    owners = Lora.objects.filter(pk__in=names).values("character")
    characters = Character.objects.filter(Q(pk__in=names) | Q(pk__in=owners))
    list(characters.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def _find(lora_id: str, variant: str | None) -> Lora:
    """Return a character's current LoRA, or the LoRA itself for `uploaded:<id>` or its own id."""
    given = lora_id.removeprefix(UPLOADED)
    lora = hold(given)
    if lora is not None:
        return lora
    if given != lora_id or not given.startswith("char-"):
        raise exceptions.NotFound(f"LoRA {given} not found")
    if not Character.objects.filter(pk=given).exists():
        raise exceptions.NotFound(f"Character {given} not found")
    return _current_that_fits(given, variant)


def _current_that_fits(character_id: str, variant: str | None) -> Lora:
    """Return the current LoRA; where another model's was promoted, the newest for this one, if there is any."""
    current = current_lora(character_id)
    if current is None:
        raise exceptions.ValidationError(f"Character {character_id} has no LoRA yet: train one first.")
    return (current_lora(character_id, fits(variant)) if variant else None) or current


def _refuse_twice(chosen: list[ChosenLora]) -> None:
    seen: dict[str, str] = {}
    for each in chosen:
        first = seen.setdefault(each.lora.pk, each.field)
        if first != each.field:
            raise exceptions.ValidationError({f"config.{each.field}": f"is the same LoRA as {first}: name it once."})


def _refuse_of_other_family(chosen: ChosenLora, variant: str | None) -> None:
    family, wanted = family_of(chosen.lora), VARIANTS[variant] if variant else None
    if family is None or wanted is None or family == wanted.family:
        return
    title = next(model.title for model in MODELS.values() if model.family == family)
    raise exceptions.ValidationError(
        {f"config.{chosen.field}": f"LoRA {chosen.lora.pk} was made for {title}; it does not fit {wanted.title}."}
    )
