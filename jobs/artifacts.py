"""The files that a job left, as the API lists and finds them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from django.core.files.storage import default_storage

from characters.files import public_path
from characters.models import Lora
from jobs.models import Artifact, Job

ListedType = Literal["sample", "checkpoint", "model", "log"]

# A generation's pictures are its samples: the list has no other word for pictures, and clients show these.
PICTURES = ("sample", "output")
CHECKPOINT = "checkpoint"
ENGINE_CONFIG = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """`step` counts the steps that were done when it was made; None where it belongs to no step."""

    name: str
    key: str
    type: ListedType
    size_bytes: int
    created_at: datetime
    step: int | None
    url: str

    def as_answer(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "path": public_path(self.key),
            "type": self.type,
            "size_bytes": self.size_bytes,
            "created_at": self.created_at,
            "step": self.step,
            "url": self.url,
        }


def job_files(job: Job) -> list[JobFile]:
    """Return the job's pictures, checkpoints, trained LoRA and archived log, newest first."""
    model = model_of(job)
    files = [*_pictures(job), *_checkpoints(job), *([_model(job, model)] if model else []), *_archived_log(job)]
    return sorted(files, key=lambda file: file.created_at, reverse=True)


def checkpoint_files(job: Job) -> list[JobFile]:
    """Return the job's checkpoints, newest first."""
    return _checkpoints(job)


def picture_count(job: Job) -> int:
    return job.artifacts.filter(type__in=PICTURES).count()


def find_picture(job: Job, name: str) -> Artifact | None:
    return _find(job, name, PICTURES)


def find_checkpoint(job: Job, name: str) -> Artifact | None:
    return _find(job, name, (CHECKPOINT,))


def model_of(job: Job) -> Lora | None:
    """Return the LoRA that this job trained; None if it trained none, or it was deleted since."""
    return Lora.objects.filter(job_id=job.pk).first()


def model_name(lora: Lora) -> str:
    return lora.key.rsplit("/", 1)[-1]


def _find(job: Job, name: str, types: tuple[str, ...]) -> Artifact | None:
    return job.artifacts.filter(type__in=types, name=name).first()


def _pictures(job: Job) -> list[JobFile]:
    rows = job.artifacts.filter(type__in=PICTURES).order_by("-created_at", "-id")
    return [_published(row, "sample", f"artifacts/samples/{quote(row.name)}") for row in rows]


def _checkpoints(job: Job) -> list[JobFile]:
    rows = job.artifacts.filter(type=CHECKPOINT).order_by("-created_at", "-id")
    return [_published(row, "checkpoint", f"checkpoints/{quote(row.name)}/download") for row in rows]


def _published(row: Artifact, listed_type: ListedType, address: str) -> JobFile:
    return JobFile(
        name=row.name,
        key=row.key,
        type=listed_type,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        step=row.step,
        url=_url(row.job_id, address),
    )


def _model(job: Job, lora: Lora) -> JobFile:
    return JobFile(
        name=model_name(lora),
        key=lora.key,
        type="model",
        size_bytes=lora.size_bytes,
        created_at=lora.created_at,
        step=lora.details.get("step"),
        url=_url(job.pk, "artifacts/model"),
    )


def _archived_log(job: Job) -> list[JobFile]:
    """Return nothing while the log is still rows: there is no file yet, and its lines are at the same address."""
    try:
        size_bytes = default_storage.size(job.log_key) if job.log_key else None
    except FileNotFoundError:
        size_bytes = None
    if size_bytes is None:
        return []
    log = JobFile(
        name=f"{job.pk}.jsonl",
        key=job.log_key,
        type="log",
        size_bytes=size_bytes,
        # A log is archived when its job is over.
        created_at=job.completed_at or job.created_at,
        step=None,
        url=_url(job.pk, "logs"),
    )
    return [log]


def _url(job_id: str, address: str) -> str:
    return f"/api/jobs/{quote(job_id)}/{address}"
