"""The versions of a character's LoRA, and the end of any LoRA."""

from collections.abc import Callable
from functools import partial

from django.db import transaction
from django.db.models import Case, F, IntegerField, Q, Value, When
from django.utils import timezone

from characters import files
from characters.models import Character, Lora

EVERY = Q()
CURRENT_FIRST = (
    Case(When(pk=F("character__current_lora"), then=Value(0)), default=Value(1), output_field=IntegerField()),
    F("version").desc(),
)
"""The order of a character's LoRAs whose first one acts: the one that was promoted, otherwise the newest."""
DeleteCheck = Callable[[str], None]

_delete_checks: list[DeleteCheck] = []


class LoraInUse(Exception):
    """The LoRA cannot be deleted now; the text says why to the person who wants it gone."""


def before_delete(check: DeleteCheck) -> None:
    """Have `check` called with a LoRA's id in the transaction that deletes it; it raises LoraInUse to keep the LoRA."""
    _delete_checks.append(check)


@transaction.atomic
def issue_version(character_id: str) -> int:
    """Return a version number that this character never had. Raises Character.DoesNotExist."""
    character = Character.objects.filter(pk=character_id)
    character.update(lora_versions_issued=F("lora_versions_issued") + 1)
    # The update holds the row until the end of the transaction, so this reads the number it made.
    return character.values_list("lora_versions_issued", flat=True).get()


def current_lora(character_id: str, among: Q = EVERY) -> Lora | None:
    """Return the promoted one if it is `among` these, otherwise the newest of them."""
    return Lora.objects.filter(among, character_id=character_id).order_by(*CURRENT_FIRST).first()


@transaction.atomic
def promote(character_id: str, lora_id: str | None) -> None:
    """Have this version act where the character is named, until told otherwise; None: always the newest.

    Raises Character.DoesNotExist, and Lora.DoesNotExist unless it is the character's own.
    """
    # Whoever deletes the LoRA locks its character first, so it is there until this is written.
    Character.objects.select_for_update(no_key=True).get(pk=character_id)
    if lora_id is not None:
        Lora.objects.get(pk=lora_id, character_id=character_id)
    Character.objects.filter(pk=character_id).update(current_lora=lora_id, updated_at=timezone.now())


def hold(lora_id: str) -> Lora | None:
    """Return a LoRA that nobody can delete before the present transaction ends, None if there is none."""
    # A character's deletion takes its LoRAs along and locks it before them, so the same order is kept here.
    owner = Lora.objects.filter(pk=lora_id).values("character")
    Character.objects.select_for_update(no_key=True).filter(pk__in=owner).first()
    return Lora.objects.select_for_update(no_key=True).filter(pk=lora_id).first()


def check_deletable(lora_id: str) -> None:
    """Raises LoraInUse."""
    for check in _delete_checks:
        check(lora_id)


@transaction.atomic
def delete_lora(lora_id: str) -> None:
    """Remove a LoRA and its file. Raises Lora.DoesNotExist and LoraInUse."""
    lora = hold(lora_id)
    if lora is None:
        raise Lora.DoesNotExist
    check_deletable(lora_id)
    key = lora.key
    lora.delete()
    transaction.on_commit(partial(files.discard, [key]), robust=True)
