"""Where a job goes on from that continues another, written down in its order."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from django.db.models import Q

from jobs.models import LIVE, Job


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """A stored file: a checkpoint of `job_id`, or the LoRA `lora_id` that it ended with."""

    job_id: str
    step: int
    key: str
    lora_id: str | None = None

    @classmethod
    def of(cls, job: Job) -> Self | None:
        """Return what the job was to go on from, None where it began at the beginning."""
        described = job.order.get("resume_from")
        return cls(**described) if described else None

    def as_order(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def in_words(self) -> str:
        file = f"the LoRA of {self.job_id}" if self.lora_id else f"the checkpoint of {self.job_id}"
        return f"{file}, step {self.step}"


def job_that_needs_checkpoints_of(job_id: str) -> str | None:
    """Return a job that has not ended and may still have to begin from one of these checkpoints."""
    at_work = Job.objects.filter(Q(status__in=LIVE) | Q(holder__isnull=False))
    return _first(at_work.filter(order__resume_from__job_id=job_id, order__resume_from__lora_id=None))


def heirs_of_checkpoints() -> dict[str, str]:
    """Return all jobs whose checkpoints are needed in that way, and for each a job that needs them."""
    at_work = Job.objects.filter(Q(status__in=LIVE) | Q(holder__isnull=False))
    begun_from = at_work.filter(order__resume_from__isnull=False, order__resume_from__lora_id=None)
    return dict(begun_from.order_by("-created_at", "-id").values_list("order__resume_from__job_id", "pk"))


def job_that_needs_lora(lora_id: str) -> str | None:
    """Return a job that has not ended and may still have to begin from this LoRA."""
    at_work = Job.objects.filter(Q(status__in=LIVE) | Q(holder__isnull=False))
    return _first(at_work.filter(order__resume_from__lora_id=lora_id))


def _first(jobs: Any) -> str | None:
    found: str | None = jobs.order_by("created_at", "id").values_list("pk", flat=True).first()
    return found
