"""LoRAs that were trained elsewhere: checked, and each file kept once."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction

from characters import files
from characters.lora_facts import recorded_facts, usable_trigger_word
from characters.models import FILE_NAME_MAX_LENGTH, Lora, new_lora_id
from characters.photo_names import cleaned
from characters.safetensors_files import LoraFacts, LoraRefused, inspect

logger = logging.getLogger(__name__)

MAX_BYTES = 500_000_000
SUFFIX = ".safetensors"
# Trainers write whole tag statistics into the metadata; what tells where a LoRA comes from is short.
MAX_METADATA_TEXTS = 50
MAX_METADATA_LENGTH = 500
TELLING = ("modelspec.", "isengard.")

WRONG_SUFFIX = (
    f"The file's name must end in {SUFFIX}; pickled files (.ckpt, .pt, .bin) can run code when they are loaded."
)
TOO_LARGE = f"The file is too large: a LoRA may have at most {MAX_BYTES // 1_000_000} MB."


@dataclass(frozen=True, slots=True, kw_only=True)
class SentLora:
    """A file as it was sent: under which name, where it lies now, and what its owner says of it."""

    sent_as: str
    path: Path
    name: str
    trigger_word: str


@dataclass(frozen=True, slots=True)
class UploadedLora:
    """`is_new` is false for bytes that had been uploaded before: the LoRA is the one of then."""

    lora: Lora
    is_new: bool


def add_lora(sent: SentLora) -> UploadedLora:
    """Keep a LoRA, unless its bytes are kept already. Raises LoraRefused."""
    facts = _inspected(sent)
    with sent.path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    twin = _twin(sha256)
    if twin is None:
        return _keep(sent, _lora_of(sent, facts, sha256=sha256))
    if not default_storage.exists(twin.key):
        logger.warning("A missing LoRA file came back", extra={"lora": twin.pk})
        _publish(twin.key, sent.path)
    return UploadedLora(twin, is_new=False)


def _inspected(sent: SentLora) -> LoraFacts:
    if not sent.sent_as.lower().endswith(SUFFIX):
        raise LoraRefused(WRONG_SUFFIX)
    if sent.path.stat().st_size > MAX_BYTES:
        raise LoraRefused(TOO_LARGE)
    with sent.path.open("rb") as content:
        return inspect(content)


def _lora_of(sent: SentLora, facts: LoraFacts, *, sha256: str) -> Lora:
    lora_id = new_lora_id()
    return Lora(
        id=lora_id,
        name=sent.name,
        # Not the name it was sent under: ComfyUI caches LoRAs by their path, so none may come twice.
        key=f"loras/uploaded/{lora_id}{SUFFIX}",
        trigger_word=sent.trigger_word or usable_trigger_word(facts.origin.trigger_word),
        size_bytes=sent.path.stat().st_size,
        sha256=sha256,
        base_model=facts.origin.base_model,
        details={
            **recorded_facts(facts),
            "family": facts.origin.family,
            "filename": _filename(sent.sent_as),
            "metadata": _short(facts.metadata),
        },
    )


def _filename(sent_as: str) -> str:
    """Return the name to show: without its path or anything invisible, and not too long."""
    stem = cleaned(sent_as[: -len(SUFFIX)])
    return stem[: FILE_NAME_MAX_LENGTH - len(SUFFIX)] + SUFFIX


def _short(metadata: Mapping[str, str]) -> dict[str, str]:
    short = {name: text for name, text in metadata.items() if _is_short(name) and _is_short(text)}
    # Of more texts than are kept, those stay that are written for people.
    telling = sorted(short, key=lambda name: not name.startswith(TELLING))
    return {name: short[name] for name in telling[:MAX_METADATA_TEXTS]}


def _is_short(text: str) -> bool:
    # PostgreSQL's JSON cannot hold a NUL.
    return len(text) <= MAX_METADATA_LENGTH and "\0" not in text


def _keep(sent: SentLora, lora: Lora) -> UploadedLora:
    _publish(lora.key, sent.path)
    is_kept = False
    try:
        kept = _record(lora)
        is_kept = kept.pk == lora.pk
    finally:
        if not is_kept:
            files.discard_unnamed(lora.key, Lora.objects.all())
    return UploadedLora(kept, is_new=is_kept)


def _publish(key: str, path: Path) -> None:
    with path.open("rb") as content:
        files.publish(key, content)


def _record(lora: Lora) -> Lora:
    """Save `lora` and return it, or the one of the same bytes that came first."""
    try:
        with transaction.atomic():
            lora.save(force_insert=True)
    except IntegrityError:
        twin = _twin(lora.sha256)
        if twin is None:
            raise
        return twin
    return lora


def _twin(sha256: str) -> Lora | None:
    # A character's own LoRA is no twin: it goes when the character goes, and an upload must not.
    return Lora.objects.filter(character=None, sha256=sha256).first()
