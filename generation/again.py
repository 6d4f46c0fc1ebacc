"""Making pictures again: the same seeds, LoRA versions and written-out prompts, but for what is to change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, Field
from rest_framework import exceptions

from characters.models import Lora
from generation.image_prompts import PROMPT_FIELDS, KeptPrompts
from generation.params import COUNT_RANGE, GenerationParams
from generation.service import Draft, GenerationRequest, draft_of, record
from generation.workflow_choice import kept_by, own_workflow, reduced
from generation.workflows.errors import FileBroken
from generation.workflows.workflow import Workflow
from jobs.idempotency import RequestKey, Submission, intent_of, record_once, repeat_of
from jobs.models import Job
from jobs.params import parse
from jobs.schedule import Scheduled


def _changeable() -> dict[str, Any]:
    """Return the schema of the parameters without defaults: what is left out stays as it was."""
    schema = GenerationParams.model_json_schema()
    declared = _inlined(schema["properties"], schema.get("$defs", {}))
    return {name: {key: known[key] for key in known if key != "default"} for name, known in declared.items()}


def _inlined(part: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a part of a schema that stands for itself, without references to the schema's definitions."""
    if isinstance(part, list):
        return [_inlined(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in part.items()}


class RerunRequest(Scheduled):
    model_config = ConfigDict(extra="forbid", strict=True)

    config: dict[str, Any] = Field(
        default={},
        description="The parameters that are to change; all others stay as they were used, the seed and the versions "
        "of the LoRAs included.",
        json_schema_extra=lambda schema: schema.update(properties=_changeable(), additionalProperties=False),
    )
    count: int | None = Field(
        default=None,
        ge=COUNT_RANGE[0],
        le=COUNT_RANGE[1],
        description="How many images. Null: as many as before, or one with `index`.",
    )
    index: int | None = Field(
        default=None, ge=0, lt=COUNT_RANGE[1], description="Begin with this image of the job, counted from 0."
    )


def rerun_generation(
    job: Job, wanted: RerunRequest, *, correlation_id: str, key: RequestKey | None = None
) -> Submission:
    """Record a rerun of `job` and ring for it, or return the one that `key` started before.

    Raises NotFound for a LoRA or an image that is gone, and ValidationError for everything else.
    """
    intent = intent_of(key, {"rerun_of": job.pk, **wanted.parameters()})
    repeat = repeat_of(intent)
    if repeat is not None:
        return repeat
    draft = _Rerun.of(job, wanted).draft()
    return record_once(intent, lambda: record(draft, correlation_id, wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rerun:
    job: Job
    changes: Mapping[str, Any]
    first: int
    count: int

    @classmethod
    def of(cls, job: Job, wanted: RerunRequest) -> "_Rerun":
        made = job.order["count"]
        if wanted.index is not None and wanted.index >= made:
            raise exceptions.ValidationError({"index": f"must be from 0 to {made - 1}: {job.pk} is of {made} images."})
        # Some clients send back the whole config that they were shown.
        changes = {name: value for name, value in wanted.config.items() if not _is_as_before(name, value, job)}
        count = wanted.count or (made if wanted.index is None else 1)
        return cls(job=job, changes=changes, first=wanted.index or 0, count=count)

    def draft(self) -> Draft:
        workflow = self._workflow()
        config = {**reduced(self._config(), workflow), **self.changes}
        request = parse(GenerationRequest, {"config": config, "count": self.count})
        kept, origin = list(self._kept_prompts()), {"rerun_of": self.job.pk}
        return draft_of(request.config, request.count, kept=kept, workflow=workflow, origin=origin)

    def _workflow(self) -> Workflow | None:
        """Return the operator's workflow as the job ran it, or as its files are now if it is to be another one."""
        name = self.changes.get("workflow")
        if "workflow" in self.changes:
            return own_workflow(name) if isinstance(name, str) else None
        try:
            return kept_by(self.job)
        except FileBroken as exc:
            raise exceptions.ValidationError({"config.workflow": f"it cannot be run again: {exc}"}) from exc

    def _config(self) -> dict[str, Any]:
        """Return the config that was used, with each LoRA named by its own id: a character may have a newer one now."""
        config = dict(self.job.config)
        config["seed"] += self.first
        used = list(self.job.order["loras"])
        if config.get("lora_id") is not None:
            first = used.pop(0)
            if "lora_id" not in self.changes:
                config["lora_id"] = self._still_there(first)
        # Jobs of before an update know less.
        if "loras" not in self.changes and "loras" in config:
            choices = zip(config["loras"], used, strict=True)
            config["loras"] = [{**choice, "lora_id": self._still_there(lora)} for choice, lora in choices]
        return config

    def _still_there(self, used: Mapping[str, Any]) -> str:
        lora_id = str(used["id"])
        sha256 = Lora.objects.filter(pk=lora_id).values_list("sha256", flat=True).first()
        told = f"LoRA {lora_id} ({used.get('title', 'unnamed')}), which {self.job.pk} was made with,"
        if sha256 is None:
            raise exceptions.NotFound(f"{told} has been deleted: name another one in config, or null.")
        if sha256 != used["sha256"]:
            raise exceptions.ValidationError({"config.lora_id": f"{told} has other bytes now: name one in config."})
        return lora_id

    def _kept_prompts(self) -> Iterator[KeptPrompts]:
        """Yield, image by image, the prompts in which nothing has to be chosen anew."""
        if "dynamic_prompts" in self.changes:
            return
        unchanged = [field for field in PROMPT_FIELDS if field not in self.changes]
        for texts in self.job.order.get("prompts", [])[self.first :]:
            yield {field: texts[field] for field in unchanged}


def _is_as_before(name: str, value: object, job: Job) -> bool:
    # True equals 1 in Python, and must not pass for it.
    return name in job.config and type(value) is type(job.config[name]) and bool(value == job.config[name])
