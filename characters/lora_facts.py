"""What a LoRA's row keeps of its file and its origin, and what of it is asked for in more than one place."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q

from base_models import MODELS, Family
from characters import wording
from characters.models import TRIGGER_WORD_MAX_LENGTH, TRIGGER_WORD_MIN_LENGTH, Lora
from characters.safetensors_files import LoraFacts


def recorded_facts(facts: LoraFacts) -> dict[str, Any]:
    """Return what a row says of its file's inside, in JSON's types."""
    return {
        "layouts": list(facts.layouts),
        "ranks": list(facts.ranks),
        "dtypes": list(facts.dtypes),
        "tensor_count": facts.tensor_count,
        "module_count": facts.module_count,
    }


def family_of(lora: Lora) -> Family | None:
    """Return with which base models it works; None where that is not known."""
    return family_in(base_model=lora.base_model, details=lora.details)


def family_in(*, base_model: str, details: dict[str, Any]) -> Family | None:
    named = MODELS.get(base_model)
    family: Family | None = named.family if named else details.get("family")
    return family


def fits(base_model: str) -> Q:
    """Return the condition for LoRAs that are known to work with this base model. Raises KeyError."""
    family = MODELS[base_model].family
    return Q(base_model__in=[name for name, model in MODELS.items() if model.family == family]) | Q(
        details__family=family
    )


def usable_trigger_word(found: str) -> str:
    """Return a word found in a file if a person could have given it, else nothing."""
    if not TRIGGER_WORD_MIN_LENGTH <= len(found) <= TRIGGER_WORD_MAX_LENGTH:
        return ""
    try:
        wording.check_trigger_word(found)
    except ValidationError:
        return ""
    return found
