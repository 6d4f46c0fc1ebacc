"""The versions of a character's LoRA."""

from functools import partial

from django.db import transaction
from django.db.models import F

from characters import files
from characters.models import Character, Lora


@transaction.atomic
def issue_version(character_id: str) -> int:
    """Return a version number that this character never had. Raises Character.DoesNotExist."""
    character = Character.objects.filter(pk=character_id)
    character.update(lora_versions_issued=F("lora_versions_issued") + 1)
    # The update holds the row until the end of the transaction, so this reads the number it made.
    return character.values_list("lora_versions_issued", flat=True).get()


def newest_lora(character_id: str) -> Lora | None:
    return Lora.objects.filter(character_id=character_id).order_by("-version").first()


@transaction.atomic
def delete_lora(lora_id: str) -> None:
    """Remove a LoRA and its file. Raises Lora.DoesNotExist."""
    lora = Lora.objects.select_for_update().get(pk=lora_id)
    key = lora.key
    lora.delete()
    transaction.on_commit(partial(files.discard, [key]), robust=True)
