"""Starting a generation."""

import secrets
from typing import Any, Self

from django.db import transaction
from pydantic import BaseModel, ConfigDict, Field, model_validator
from rest_framework import exceptions

from characters.loras import hold, newest_lora
from characters.models import Character, Lora
from generation.kind import GenerationKind
from generation.offers import refusal_of
from generation.params import COUNT_RANGE, MAX_SEED, TOGGLES, GenerationParams
from jobs import log, queue
from jobs.idempotency import RequestKey, Submission, intent_of, record_once, repeat_of
from jobs.models import Job, new_job_id

UPLOADED = "uploaded:"


class GenerationRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    config: GenerationParams
    count: int = Field(1, ge=COUNT_RANGE[0], le=COUNT_RANGE[1], description="How many images; image k uses seed + k.")

    @model_validator(mode="after")
    def _last_seed_in_range(self) -> Self:
        if self.config.seed is not None and self.config.seed + self.count - 1 > MAX_SEED:
            raise ValueError(f"seed: with count {self.count} the last image's seed would be beyond {MAX_SEED}")
        return self


def start_generation(wanted: GenerationRequest, *, correlation_id: str, key: RequestKey | None = None) -> Submission:
    """Record a generation and ring for it, or return the one that `key` started before.

    Raises NotFound for the LoRA and ValidationError for everything else.
    """
    intent = intent_of(key, wanted.model_dump(mode="json"))
    repeat = repeat_of(intent)
    if repeat is not None:
        return repeat
    # Asks the servers, which no transaction may wait for.
    _refuse_unsupported(wanted.config)
    return record_once(intent, lambda: _record(wanted, correlation_id))


def _record(wanted: GenerationRequest, correlation_id: str) -> Job:
    with transaction.atomic():
        lora = find_lora(wanted.config.lora_id) if wanted.config.lora_id is not None else None
        job = queue.submit(_job(wanted, lora, correlation_id))
        log.write(job.pk, "Generation accepted", event="job.accepted", correlation_id=correlation_id)
    return job


def _refuse_unsupported(params: GenerationParams) -> None:
    for toggle in TOGGLES:
        reason = refusal_of(toggle) if getattr(params, toggle) else None
        if reason:
            raise exceptions.ValidationError({f"config.{toggle}": reason})


def find_lora(lora_id: str) -> Lora:
    """Return a character's newest LoRA, or the LoRA itself for `uploaded:<id>` or its own id.

    It cannot be deleted before the transaction ends; from then on the job that names it protects it.
    """
    given = lora_id.removeprefix(UPLOADED)
    lora = hold(given)
    if lora is not None:
        return lora
    if given != lora_id or not given.startswith("char-"):
        raise exceptions.NotFound(f"LoRA {given} not found")
    character = Character.objects.select_for_update().filter(pk=given).first()
    if character is None:
        raise exceptions.NotFound(f"Character {given} not found")
    newest = newest_lora(given)
    if newest is None:
        raise exceptions.ValidationError(f"Character {given} has no LoRA yet: train one first.")
    return newest


def _job(wanted: GenerationRequest, lora: Lora | None, correlation_id: str) -> Job:
    config = wanted.config.model_dump(mode="json")
    if config["seed"] is None:
        # Room for the last image's seed below 2^53.
        config["seed"] = secrets.randbelow(MAX_SEED - wanted.count)
    return Job(
        id=new_job_id(GenerationKind.id_prefix),
        kind=GenerationKind.name,
        character_id=lora.character_id if lora else None,
        config=config,
        total_steps=wanted.config.steps * wanted.count,
        correlation_id=correlation_id,
        order={"count": wanted.count, "loras": [_as_order(lora, wanted.config.lora_strength)] if lora else []},
    )


def _as_order(lora: Lora, strength: float) -> dict[str, Any]:
    """Return what the run needs and what explains the picture later. ComfyUI names files from its LoRA folder on."""
    return {"id": lora.pk, "name": lora.key.removeprefix("loras/"), "strength": strength, "sha256": lora.sha256}
