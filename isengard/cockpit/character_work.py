"""What the jobs know of characters and LoRAs, for the pages of both."""

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db.models import Max, OuterRef, QuerySet, Subquery, TextField
from django.db.models.functions import Cast

from base_models import MODELS
from characters.admin.related import Sample, Uses, Work
from characters.models import Lora
from generation.kind import GenerationKind
from isengard.cockpit.overview.rows import kind_title, page_of
from jobs import readable
from jobs.admin import job_files
from jobs.models import Artifact, Job
from training.kind import TrainingKind

SHOWN_JOBS = 5
TEXT_LENGTH = 100
THUMBNAIL_SIDE_PIXELS = 96


class JobsOfCharacters:
    def trainings(self, character_id: str) -> list[Work]:
        return [_work(job, _training_in_words(job)) for job in _newest(TrainingKind.name, character_id)]

    def generations(self, character_id: str) -> list[Work]:
        return _pictured(_newest(GenerationKind.name, character_id))

    def uses(self, lora: Lora) -> Uses:
        """Find them by the text of their orders: no index knows them, and only JSON of PostgreSQL could be asked."""
        jobs = Job.objects.filter(kind=GenerationKind.name, created_at__gte=lora.created_at)
        named = jobs.annotate(text=Cast("order", TextField())).filter(text__contains=f'"{lora.pk}"')
        return Uses(count=named.count(), newest=_pictured(named.order_by("-created_at", "-id")[:SHOWN_JOBS]))

    def last_samples(self, job_ids: Collection[str]) -> dict[str, list[Sample]]:
        samples = Artifact.objects.filter(type="sample", job_id__in=job_ids)
        siblings = Artifact.objects.filter(type="sample", job=OuterRef("job"), step__isnull=False)
        last_step = Subquery(siblings.order_by("-step").values("step")[:1])
        by_job: dict[str, list[Artifact]] = {}
        for artifact in samples.filter(step=last_step).select_related("job").order_by("pk"):
            by_job.setdefault(artifact.job_id, []).append(artifact)
        return {job_id: _samples(artifacts) for job_id, artifacts in by_job.items()}

    def addresses(self, job_ids: Collection[str]) -> dict[str, str]:
        return {job.pk: page_of(job) for job in Job.objects.filter(pk__in=job_ids).only("id")}

    def last_activity(self, character_ids: Collection[str]) -> dict[str, datetime]:
        jobs = Job.objects.filter(character_id__in=character_ids).order_by()
        return dict(jobs.values_list("character_id").annotate(last=Max("created_at")))


def _newest(kind: str, character_id: str) -> QuerySet[Job]:
    return Job.objects.filter(kind=kind, character_id=character_id).order_by("-created_at", "-id")[:SHOWN_JOBS]


def _work(job: Job, text: str, *, thumbnail_url: str = "") -> Work:
    return Work(
        title=f"{kind_title(job.kind)} {job.pk}",
        address=page_of(job),
        status=job.status,
        at=job.created_at,
        text=readable.shortened(text, TEXT_LENGTH),
        thumbnail_url=thumbnail_url,
    )


def _training_in_words(job: Job) -> str:
    name = str(job.order.get("base_model", ""))
    model = MODELS[name].title if name in MODELS else name
    steps = job.config.get("steps")
    return " · ".join(filter(None, (model, f"{steps} steps" if steps else "", job.error_message)))


def _pictured(jobs: Iterable[Job]) -> list[Work]:
    """Give each generation its first picture."""
    found = list(jobs)
    outputs = Artifact.objects.filter(type="output", job_id__in=[job.pk for job in found]).order_by("-pk")
    first = {artifact.job_id: artifact for artifact in outputs}
    return [
        _work(
            job,
            str(job.config.get("prompt") or ""),
            thumbnail_url=_thumbnail_url(first[job.pk]) if job.pk in first else "",
        )
        for job in found
    ]


def _thumbnail_url(artifact: Artifact) -> str:
    return f"{job_files.outputs([artifact])[0].url}?size={THUMBNAIL_SIDE_PIXELS}"


def _samples(artifacts: list[Artifact]) -> list[Sample]:
    job = artifacts[0].job
    rounds = job_files.rounds(job, artifacts, job_files.sample_prompts(job))
    return [
        Sample(prompt=cell.caption, url=cell.url, thumbnail_url=cell.thumbnail_url, step=each.step)
        for each in rounds
        for cell in each.cells
        if cell
    ]
