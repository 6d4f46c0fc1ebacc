"""Completed jobs: each has what it was asked for, once."""

from collections.abc import Iterator
from functools import partial

from django.core.files.storage import default_storage
from django.db.models import Count, Exists, OuterRef

from characters.models import Lora
from generation.models import WorkflowCopy
from isengard.audit.finding import Finding
from jobs.models import Artifact, Job, Status

AGAIN = "Run it again."


def check_results() -> Iterator[Finding]:
    yield from _trainings()
    yield from _generations()
    yield from _workflow_copies()


def _completed(kind: str) -> "Iterator[Job]":
    return Job.objects.filter(kind=kind, status=Status.COMPLETED).order_by("pk").iterator(chunk_size=500)


def _trainings() -> Iterator[Finding]:
    named = Exists(Lora.objects.filter(key=OuterRef("output_key")))
    jobs = Job.objects.filter(~named, kind="training", status=Status.COMPLETED).order_by("pk")
    for job in jobs.iterator(chunk_size=500):
        if not job.output_key:
            yield _final("training_without_lora", job.pk, "It is completed, and has no LoRA.", AGAIN)
        elif default_storage.exists(job.output_key):
            yield Finding(
                code="lora_without_row",
                subject=job.output_key,
                text=f"{job.pk} is completed and its LoRA lies there, but no row offers it.",
                advice="Upload the file as a LoRA, then remove it here; if somebody deleted the LoRA, just remove it.",
                is_still_so=partial(_is_without_row, job.output_key),
            )


def _is_without_row(key: str) -> bool:
    return default_storage.exists(key) and not Lora.objects.filter(key=key).exists()


def _generations() -> Iterator[Finding]:
    outputs = Artifact.objects.filter(type="output").order_by()
    counts = dict(outputs.values_list("job").annotate(Count("pk")))
    for job in _completed("generation"):
        wanted, found = job.order.get("count"), counts.get(job.pk, 0)
        if wanted is not None and found != wanted:
            yield Finding(
                code="wrong_number_of_images",
                subject=job.pk,
                text=f"It is completed with {found} images instead of {wanted}.",
                advice=AGAIN,
                # It may have come to its end after the images were counted.
                is_still_so=partial(_is_number_wrong, job.pk, wanted),
            )


def _is_number_wrong(job_id: str, wanted: int) -> bool:
    found = Artifact.objects.filter(job=job_id, type="output").count()
    return Job.objects.filter(pk=job_id).exists() and found != wanted


def _workflow_copies() -> Iterator[Finding]:
    kept = set(WorkflowCopy.objects.values_list("pk", flat=True))
    jobs = Job.objects.filter(order__workflow__isnull=False).order_by("pk")
    for job_id, workflow in jobs.values_list("pk", "order__workflow").iterator(chunk_size=500):
        if workflow["sha256"] not in kept:
            yield Finding(
                code="missing_workflow",
                subject=job_id,
                text=f"The copy of the workflow {workflow['name']} that it was accepted with is gone.",
                advice="It cannot be run again; start a new job with the present workflow.",
                is_still_so=partial(_is_without_workflow, job_id, workflow["sha256"]),
            )


def _is_without_workflow(job_id: str, sha256: str) -> bool:
    return Job.objects.filter(pk=job_id).exists() and not WorkflowCopy.objects.filter(pk=sha256).exists()


def _final(code: str, job_id: str, text: str, advice: str) -> Finding:
    """What a completed job has never changes, unless it is deleted."""
    is_still_so = partial(Job.objects.filter(pk=job_id).exists)
    return Finding(code=code, subject=job_id, text=text, advice=advice, is_still_so=is_still_so)
