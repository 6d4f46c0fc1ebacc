"""The end of a character, and who else wants to know of it."""

from collections.abc import Callable
from functools import partial

from django.db import transaction

from characters import files
from characters.models import Character, Lora, TrainingImage

DeleteCallback = Callable[[str], None]

_delete_callbacks: list[DeleteCallback] = []


def on_delete(callback: DeleteCallback) -> None:
    """Have `callback` called with a character's id in the transaction that deletes it; what it raises undoes that."""
    _delete_callbacks.append(callback)


@transaction.atomic
def delete_character(character_id: str) -> None:
    """Remove a character, its images and its LoRAs. Raises Character.DoesNotExist."""
    # With the row locked, nobody who locks it before adding a job or an image can slip in behind the callbacks.
    character = Character.objects.select_for_update().get(pk=character_id)
    for callback in _delete_callbacks:
        callback(character_id)
    keys = _keys_of(character_id)
    character.delete()
    transaction.on_commit(partial(_discard_files, character_id, keys), robust=True)


def _keys_of(character_id: str) -> list[str]:
    images = TrainingImage.objects.filter(character_id=character_id).values_list("key", flat=True)
    loras = Lora.objects.filter(character_id=character_id).values_list("key", flat=True)
    return [*images, *loras]


def _discard_files(character_id: str, keys: list[str]) -> None:
    files.discard(keys)
    for root in ("uploads", files.thumbnails_of("uploads"), "loras"):
        files.discard_folder(f"{root}/{character_id}")
