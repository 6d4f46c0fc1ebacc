"""Starting a training."""

from typing import Any, Literal

from django.db import transaction
from pydantic import ConfigDict, Field, ValidationError
from rest_framework import exceptions

from base_models import Training
from characters.models import Character, TrainingImage
from jobs import log, queue
from jobs.idempotency import RequestKey, Submission, intent_of, record_once
from jobs.models import Job, new_job_id
from jobs.params import as_api_error
from jobs.schedule import Scheduled
from training.kind import TrainingKind
from training.offers import TRAINABLE
from training.params import TrainingParams, resolve
from training.suitability import unusable


class TrainingRequest(Scheduled):
    model_config = ConfigDict(extra="forbid", strict=True)

    character_id: str = Field(max_length=100, description="Whose photos to train on.")
    config: dict[str, Any] = Field(default_factory=dict, description="What is left out takes its default.")
    preset_name: Literal["quick", "balanced", "quality", "custom"] | None = Field(
        None, description="Where keys that `config` leaves out come from."
    )
    base_model: str = Field(
        "flux-dev",
        max_length=100,
        description="The model to train on.",
        json_schema_extra={"enum": list(TRAINABLE)},
    )


def start_training(wanted: TrainingRequest, *, correlation_id: str, key: RequestKey | None = None) -> Submission:
    """Record a training and ring for it, or return the one that `key` started before.

    Raises NotFound for the character and ValidationError for everything else.
    """
    params = _params(wanted, _base_model(wanted.base_model))
    intent = intent_of(key, wanted.parameters() | {"config": params.model_dump(mode="json")})
    return record_once(intent, lambda: _record(wanted, params, correlation_id))


def _record(wanted: TrainingRequest, params: TrainingParams, correlation_id: str) -> Job:
    with transaction.atomic():
        # Locked, so that a character that is being deleted gets no job behind the deletion's back.
        character = Character.objects.select_for_update().filter(pk=wanted.character_id).first()
        if character is None:
            raise exceptions.NotFound(f"Character {wanted.character_id} not found")
        if not TrainingImage.objects.filter(character=character).exists():
            raise exceptions.ValidationError("No training images uploaded for this character")
        job = queue.submit(wanted.put_on(_job(wanted, params, character, correlation_id)))
        log.write(job.pk, "Training accepted", event="job.accepted", correlation_id=correlation_id)
    return job


def _base_model(name: str) -> Training:
    if name not in TRAINABLE:
        raise exceptions.ValidationError({"base_model": f"must be one of {', '.join(TRAINABLE)}."})
    return TRAINABLE[name]


def _params(wanted: TrainingRequest, model: Training) -> TrainingParams:
    try:
        params = resolve(wanted.config, wanted.preset_name, model_defaults=model.defaults)
    except ValidationError as exc:
        raise as_api_error(exc, below="config") from exc
    refused = {f"config.{name}": [reason] for name, reason in unusable(params, model).items()}
    if refused:
        raise exceptions.ValidationError(refused)
    return params


def _job(wanted: TrainingRequest, params: TrainingParams, character: Character, correlation_id: str) -> Job:
    return Job(
        id=new_job_id(TrainingKind.id_prefix),
        kind=TrainingKind.name,
        character_id=character.pk,
        config=params.model_dump(mode="json"),
        total_steps=params.steps,
        correlation_id=correlation_id,
        order={
            "base_model": wanted.base_model,
            "preset_name": wanted.preset_name,
            "trigger_word": character.trigger_word,
            "character_name": character.name,
        },
    )
