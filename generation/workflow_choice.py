"""Which of the operator's workflows a generation runs, with which values, and the copy that it is repeated from."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from rest_framework import exceptions

from generation.consistency import UPLOAD_FIRST
from generation.models import WorkflowCopy
from generation.params import MAX_LORAS, GenerationParams
from generation.workflows.errors import FileBroken
from generation.workflows.folder import Broken, Found, find_workflows
from generation.workflows.workflow import Workflow, read_workflow, variant_of
from jobs.leftovers import Leftover
from jobs.models import Job

NOTHING_ASKED: tuple[object, ...] = (None, False, "", [])


def own_workflows() -> Found:
    """Return what is in the operator's folder, by name, broken files included."""
    return find_workflows(folder())


def folder() -> Path:
    return settings.DATA_DIR / "workflows"


def find_workflow(params: GenerationParams) -> Workflow | None:
    """Return the workflow that is asked for, None where none is. Raises ValidationError for one that is not usable."""
    return None if params.workflow is None else own_workflow(params.workflow)


def own_workflow(name: str) -> Workflow:
    """Raises ValidationError for one that is not usable."""
    found = own_workflows().get(name)
    if found is None:
        raise exceptions.ValidationError({"config.workflow": f"there is no workflow {name}."})
    if isinstance(found, Broken):
        raise exceptions.ValidationError({"config.workflow": f"the files of {name} are broken. {found.reason}"})
    return found


def misuses(workflow: Workflow, given: GenerationParams) -> Iterator[tuple[str, str]]:
    """Yield each parameter that was given and that the workflow does not take, and each image that it needs."""
    for name in sorted(given.model_fields_set - workflow.parameters):
        if getattr(given, name) not in NOTHING_ASKED and not _goes_without_saying(workflow, name, given):
            yield name, f"the workflow {workflow.name} does not take it: leave it out."
    for field in workflow.mapping.images:
        if getattr(given, field) is None:
            yield field, f"the workflow {workflow.name} needs it: {UPLOAD_FIRST}."
    most = _max_loras(workflow)
    if most and len(given.loras) + (given.lora_id is not None) > most:
        yield "loras", f"the workflow {workflow.name} takes at most {most} LoRAs, lora_id included."


def _max_loras(workflow: Workflow) -> int:
    most = workflow.mapping.max_loras
    return MAX_LORAS if most is None else most


def _goes_without_saying(workflow: Workflow, name: str, given: GenerationParams) -> bool:
    """Tell whether it asks for no more than what happens anyway."""
    if name == "model_variant":
        return given.model_variant == workflow.mapping.base_model
    return name == "lora_strength" and given.lora_id is None


def with_own_values(workflow: Workflow, given: GenerationParams) -> GenerationParams:
    """Return the parameters with what was left out as it is in the workflow itself."""
    own = {name: value for name, value in workflow.own_values.items() if name not in given.model_fields_set}
    asked = given.model_dump(exclude_unset=True)
    return GenerationParams.model_validate({**own, **asked, "model_variant": variant_of(workflow)})


def reduced(config: Mapping[str, Any], workflow: Workflow | None) -> dict[str, Any]:
    """Return what of a whole config can be given again, beside the workflow if there is one."""
    if workflow is None:
        return dict(config)
    return {name: value for name, value in config.items() if name in workflow.parameters}


def keep(workflow: Workflow) -> dict[str, str]:
    """Keep a copy, and return what of it stands in the job's order: its files may change or go.

    Called in the job's transaction.
    """
    defaults = {"name": workflow.name, "content": workflow.content}
    # Locked, so that a copy that nobody has used cannot be removed before the job that uses it is there.
    WorkflowCopy.objects.select_for_update().get_or_create(sha256=workflow.sha256, defaults=defaults)
    return {"name": workflow.name, "sha256": workflow.sha256, "base_model": workflow.mapping.base_model or ""}


def kept_by(job: Job) -> Workflow | None:
    """Return the workflow as it was when the job was accepted. Raises FileBroken."""
    named = job.order.get("workflow")
    if named is None:
        return None
    copy = WorkflowCopy.objects.filter(pk=named["sha256"]).first()
    if copy is None:
        raise FileBroken(f"The copy of the workflow {named['name']} is gone.")
    content = orjson.loads(copy.content)
    return read_workflow(named["name"], content["graph"], content["map"])


def find_leftovers(before: datetime) -> Iterator[Leftover]:
    """Yield old copies that no job was made from, or whose jobs are deleted."""
    for copy in WorkflowCopy.objects.filter(created_at__lt=before).order_by("pk"):
        if not _jobs_of(copy.pk).exists():
            yield Leftover(
                name=f"workflow {copy}",
                size_bytes=len(copy.content.encode()),
                why="no job was made from it",
                has_row=True,
                remove=partial(_forget, copy.pk),
            )


@transaction.atomic
def _forget(sha256: str) -> None:
    copy = WorkflowCopy.objects.select_for_update().filter(pk=sha256).first()
    if copy is not None and not _jobs_of(sha256).exists():
        copy.delete()


def _jobs_of(sha256: str) -> QuerySet[Job]:
    return Job.objects.filter(order__workflow__sha256=sha256)
