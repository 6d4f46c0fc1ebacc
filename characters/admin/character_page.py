"""The page of one character: photos, versions of its LoRA, and what was made of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from base_models import MODELS
from characters.admin import related, showing
from characters.admin.related import Sample
from characters.models import Character, Lora, TrainingImage

COMPARED = 5
HASH_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Photo:
    row: TrainingImage
    url: str

    @property
    def thumbnail_url(self) -> str:
        return f"{self.url}?size={showing.GRID_SIDE_PIXELS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A LoRA with its provenance in short. `job_address` is empty where its training is gone."""

    lora: Lora
    is_current: bool
    is_newest: bool
    base_model: str
    dataset: str
    dataset_hash: str
    job_address: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Samples side by side: a row for each prompt, as often as it was used, a cell for each version."""

    versions: list[Version]
    rows: list[tuple[str, list[Sample | None]]]


def page_of(character: Character, user: Any) -> dict[str, Any]:
    """Return what the page's template shows, from a number of queries that does not grow with the rows."""
    source = related.source()
    versions = _versions(character)
    current = next((version for version in versions if version.is_current), None)
    return {
        "character": character,
        "photos": [Photo(row, showing.photo_url(character.pk, row.name)) for row in character.images.order_by("pk")],
        "versions": versions,
        "is_promoted": any(version.lora.pk == character.current_lora_id for version in versions),
        "current": current,
        "comparison": compare(versions),
        "trainings": source.trainings(character.pk),
        "generations": source.generations(character.pk),
        "train_address": showing.address_of("characters_character_train", character.pk),
        "generate_address": showing.address_of(
            "generate",
            lora_id=character.pk,
            model_variant=current.lora.base_model if current else "",
            prompt=character.trigger_word,
        ),
        "gallery_address": showing.address_of("gallery", character=character.pk),
        "may_add_photos": user.has_perm("characters.add_trainingimage"),
        "may_caption": user.has_perm("characters.change_trainingimage"),
        "may_delete_photos": user.has_perm("characters.delete_trainingimage"),
        "may_promote": user.has_perm("characters.change_character"),
        "may_start": user.has_perm("jobs.add_job"),
    }


def compare(versions: Sequence[Version]) -> Comparison:
    """Set the current version and the newest ones side by side, as far as there are samples of them."""
    samples = related.source().last_samples([version.lora.job_id for version in versions if version.lora.job_id])
    shown = [version for version in versions if samples.get(version.lora.job_id)]
    if len(shown) > COMPARED:
        current = [version for version in shown[COMPARED - 1 :] if version.is_current]
        shown = [*shown[: COMPARED - len(current)], *current]
    numbered = [_numbered(samples[version.lora.job_id]) for version in shown]
    # Those of the same prompt stand below one another.
    prompts = list(dict.fromkeys(prompt for found in numbered for prompt, _ in found))
    keys = sorted({key for found in numbered for key in found}, key=lambda key: (prompts.index(key[0]), key[1]))
    return Comparison(shown, [(key[0], [found.get(key) for found in numbered]) for key in keys])


def _numbered(samples: Sequence[Sample]) -> dict[tuple[str, int], Sample]:
    """Return each under its prompt and how often that came before: more samples than prompts begin with them again."""
    seen: Counter[str] = Counter()
    found = {}
    for sample in samples:
        found[sample.prompt, seen[sample.prompt]] = sample
        seen[sample.prompt] += 1
    return found


def _versions(character: Character) -> list[Version]:
    """Return the newest first."""
    loras = list(character.loras.order_by("-version"))
    pages = related.source().addresses([lora.job_id for lora in loras if lora.job_id])
    promoted = next((lora for lora in loras if lora.pk == character.current_lora_id), None)
    current = promoted or (loras[0] if loras else None)
    return [
        Version(
            lora=lora,
            is_current=lora is current,
            is_newest=lora is loras[0],
            base_model=MODELS[lora.base_model].title if lora.base_model in MODELS else lora.base_model,
            **_dataset(lora),
            job_address=pages.get(lora.job_id, ""),
        )
        for lora in loras
    ]


def _dataset(lora: Lora) -> dict[str, str]:
    training: dict[str, Any] = lora.details.get("training") or {}
    if not training:
        return {"dataset": "", "dataset_hash": ""}
    count, digest = training.get("image_count", 0), str(training.get("dataset_hash", ""))
    return {"dataset": f"{count} photo{'' if count == 1 else 's'}", "dataset_hash": digest[:HASH_DIGITS]}
