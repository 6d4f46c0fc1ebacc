"""The LoRAs: versions that cannot come twice, and files that are what their rows say."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from django.db.models import Count, F, Max

from characters.lora_verification import differences
from characters.models import Character, Lora
from isengard.audit.finding import Finding


def check_versions() -> Iterator[Finding]:
    for character in _behind():
        yield Finding(
            code="version_counter_behind",
            subject=character.pk,
            text=f"Version {character.newest} exists, and only {character.lora_versions_issued} are counted as issued: "
            "the next training would end with a version that is taken.",
            advice="`--repair` sets the counter to the newest version.",
            is_still_so=partial(_behind().filter(pk=character.pk).exists),
            repair=partial(_catch_up, character.pk, character.newest),
        )
    yield from _doubled()


def _behind() -> Any:
    characters = Character.objects.annotate(newest=Max("loras__version"))
    return characters.filter(newest__gt=F("lora_versions_issued"))


def _catch_up(character_id: str, newest: int) -> None:
    behind = Character.objects.filter(pk=character_id, lora_versions_issued__lt=newest)
    behind.update(lora_versions_issued=newest)


def _doubled() -> Iterator[Finding]:
    trained = Lora.objects.exclude(job_id="").order_by().values("job_id")
    for row in trained.annotate(count=Count("pk")).filter(count__gt=1):
        yield Finding(
            code="doubled_lora",
            subject=row["job_id"],
            text=f"It is one training, and {row['count']} LoRAs are of it.",
            advice="Compare them, and delete the wrong ones.",
            is_still_so=lambda: True,
        )


def check_inside() -> Iterator[Finding]:
    """Read every LoRA, its header and its weights."""
    for lora in Lora.objects.order_by("pk").iterator(chunk_size=100):
        wrong = differences(lora)
        if wrong:
            yield Finding(
                code="damaged_lora",
                subject=lora.pk,
                text=" ".join(wrong),
                advice=f"Copy `files/{lora.key}` of a backup back into the data directory, or delete the LoRA.",
                is_still_so=partial(_is_damaged, lora.pk),
            )


def _is_damaged(lora_id: str) -> bool:
    lora = Lora.objects.filter(pk=lora_id).first()
    return lora is not None and bool(differences(lora))
