"""Starting a generation."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Self

from django.db import transaction
from pydantic import ConfigDict, Field, model_validator
from rest_framework import exceptions

from generation import inputs
from generation.consistency import contradictions
from generation.engines.order import ImagePrompts
from generation.image_prompts import KeptPrompts, write_prompts
from generation.kind import GenerationKind
from generation.lora_choice import ChosenLora, choose_loras, of_unknown_family
from generation.models import InputImage
from generation.offers import refusals, workflow_refusals
from generation.params import COUNT_RANGE, MAX_SEED, VARIANTS, GenerationParams, ImageField
from generation.workflow_choice import find_workflow, keep, misuses, with_own_values
from generation.workflows.workflow import Workflow
from jobs import log, queue
from jobs.idempotency import RequestKey, Submission, intent_of, record_once, repeat_of
from jobs.models import Job, new_job_id
from jobs.schedule import Scheduled

Images = Mapping[ImageField, InputImage]
NO_ORIGIN: Mapping[str, str] = MappingProxyType({})


class GenerationRequest(Scheduled):
    model_config = ConfigDict(extra="forbid", strict=True)

    config: GenerationParams
    count: int = Field(1, ge=COUNT_RANGE[0], le=COUNT_RANGE[1], description="How many images; image k uses seed + k.")
    preset_name: str | None = Field(
        None, max_length=64, description="Where keys that `config` leaves out come from; /info lists the presets."
    )

    @model_validator(mode="after")
    def _last_seed_in_range(self) -> Self:
        if self.config.seed is not None and self.config.seed + self.count - 1 > MAX_SEED:
            raise ValueError(f"seed: with count {self.count} the last image's seed would be beyond {MAX_SEED}")
        return self


def start_generation(wanted: GenerationRequest, *, correlation_id: str, key: RequestKey | None = None) -> Submission:
    """Record a generation and ring for it, or return the one that `key` started before.

    Raises NotFound for a LoRA or an image, and ValidationError for everything else.
    """
    intent = intent_of(key, wanted.parameters())
    repeat = repeat_of(intent)
    if repeat is not None:
        return repeat
    origin = {"preset_name": wanted.preset_name} if wanted.preset_name is not None else NO_ORIGIN
    draft = draft_of(wanted.config, wanted.count, origin=origin)
    return record_once(intent, lambda: record(draft, correlation_id, wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A generation with everything settled but its LoRAs. `origin`: further keys of the job's order."""

    params: GenerationParams
    count: int
    images: Images
    prompts: tuple[ImagePrompts, ...]
    workflow: Workflow | None
    origin: Mapping[str, str]


def draft_of(
    config: GenerationParams,
    count: int,
    *,
    kept: Sequence[KeptPrompts] = (),
    workflow: Workflow | None = None,
    origin: Mapping[str, str] = NO_ORIGIN,
) -> Draft:
    """Ask the servers and read files, which no transaction may wait for. Raises NotFound and ValidationError.

    `kept` are the prompts, image by image, in which the choices are made already. `workflow` is the operator's as an
    earlier job ran it; None: as its files are now, if `config` names one.
    """
    workflow = workflow or find_workflow(config)
    params = _seeded(config.fitted() if workflow is None else with_own_values(workflow, config), count)
    _refuse(refusals(params) if workflow is None else workflow_refusals(workflow))
    _refuse(contradictions(params) if workflow is None else misuses(workflow, config))
    images = inputs.resolved(params)
    prompts = write_prompts(params, count, kept=kept)
    return Draft(params=params, count=count, images=images, prompts=prompts, workflow=workflow, origin=origin)


def _seeded(params: GenerationParams, count: int) -> GenerationParams:
    if params.seed is not None:
        return params
    # Room for the last image's seed below 2^53.
    return params.model_copy(update={"seed": secrets.randbelow(MAX_SEED - count)})


def _refuse(complaints: Iterator[tuple[str, str]]) -> None:
    found = {f"config.{field}": reason for field, reason in complaints}
    if found:
        raise exceptions.ValidationError(found)


def record(draft: Draft, correlation_id: str, scheduled: Scheduled) -> Job:
    """Hold what the job needs, and submit it. Raises NotFound, QueueFull and ValidationError."""
    with transaction.atomic():
        loras = choose_loras(draft.params, variant=_model_of(draft))
        job = queue.submit(scheduled.put_on(_job(draft, loras, correlation_id)))
        inputs.pin(draft.images, job)
        log.write(job.pk, "Generation accepted", event="job.accepted", correlation_id=correlation_id, **draft.origin)
        for lora in of_unknown_family(loras):
            log.write(
                job.pk,
                f"LoRA {lora.pk} does not say which model it was made for; for another one it would change nothing.",
                event="generation.lora_of_unknown_model",
                level="WARNING",
                lora_id=lora.pk,
            )
    return job


def _model_of(draft: Draft) -> str | None:
    """Return the name of the model that paints, None where only the operator's workflow knows."""
    return draft.params.model_variant if draft.workflow is None else draft.workflow.mapping.base_model


def _job(draft: Draft, loras: list[ChosenLora], correlation_id: str) -> Job:
    params, images, model = draft.params, draft.images, _model_of(draft)
    return Job(
        id=new_job_id(GenerationKind.id_prefix),
        kind=GenerationKind.name,
        character_id=loras[0].lora.character_id if loras else None,
        config=params.model_dump(mode="json") | {field: image.pk for field, image in images.items()},
        total_steps=params.steps * draft.count,
        correlation_id=correlation_id,
        order={
            **draft.origin,
            "count": draft.count,
            "loras": [lora.as_order() for lora in loras],
            "model": {"name": model, "family": VARIANTS[model].family if model else None},
            "images": {field: {"name": image.pk, "key": image.key} for field, image in images.items()},
            "prompts": [asdict(texts) for texts in draft.prompts],
            **({"workflow": keep(draft.workflow)} if draft.workflow else {}),
        },
    )
