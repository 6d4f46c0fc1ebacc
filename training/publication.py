"""The end of a training: its file with its provenance in the library, and the row that names it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from base_models import find
from characters import disk, files, loras
from characters.lora_facts import recorded_facts
from characters.models import Character, Lora
from characters.safetensors_files import (
    HeaderTooLarge,
    LoraRefused,
    Written,
    inspect,
    read_header,
    tensors_sha256,
    write_with_metadata,
)
from jobs import facts
from jobs.errors import EngineFailed
from jobs.events import Finished
from jobs.files import workspace
from jobs.kinds import Verdict
from jobs.lease import ClaimEnded
from jobs.models import Job
from jobs.resume_points import ResumePoint
from training.provenance import Provenance

logger = logging.getLogger(__name__)

PUBLISHED = "published.safetensors"
DISK_FULL = "The disk is full: free some space there, then run the job again from its checkpoint."


class LoraVerdict(Verdict):
    """The trained file becomes the character's next version. A number that a cancel or a crash wastes stays unused."""

    def __init__(self, job: Job, finished: Finished) -> None:
        if finished.model is None or job.character_id is None:
            raise EngineFailed("The training ended without a LoRA file.")
        self.job = job
        self.version = _issue_version(job.character_id)
        self.name = f"{job.order['character_name']} v{self.version}"
        self.key = f"loras/{job.character_id}/v{self.version}.safetensors"
        self.provenance = provenance_of(job, title=self.name)
        with _explained():
            self.facts = _facts(finished.model)
            self.written = _publish(finished.model, self.provenance, self.key, job_id=job.pk)

    def fields(self) -> dict[str, Any]:
        return {"output_key": self.key}

    def record(self) -> None:
        Lora.objects.create(
            character_id=self.job.character_id,
            version=self.version,
            name=self.name,
            key=self.key,
            trigger_word=self.job.order["trigger_word"],
            size_bytes=self.written.size_bytes,
            sha256=self.written.sha256,
            base_model=self.job.order["base_model"],
            job_id=self.job.pk,
            details={**self.facts, **self.provenance.as_details()},
        )

    def discard(self) -> None:
        files.discard_unnamed(self.key, Lora.objects.all())


def provenance_of(job: Job, *, title: str) -> Provenance:
    """Return what is known of a training that has just come to its end."""
    ended_at = timezone.now()
    return Provenance(
        job_id=job.pk,
        title=title,
        character_name=job.order["character_name"],
        trigger_word=job.order["trigger_word"],
        model=find(job.order["base_model"]),
        params=job.config,
        attempts=tuple(facts.by_attempt(job)),
        continues=_continued(job),
        isengard_version=settings.VERSION,
        started_at=job.started_at or ended_at,
        ended_at=ended_at,
    )


def _continued(job: Job) -> dict[str, Any] | None:
    point = ResumePoint.of(job)
    return {"job_id": point.job_id, "step": point.step} if point else None


def _issue_version(character_id: str) -> int:
    try:
        return loras.issue_version(character_id)
    except Character.DoesNotExist as exc:
        raise ClaimEnded("cancelled") from exc


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (LoraRefused, HeaderTooLarge) as exc:
        raise EngineFailed(f"The trained LoRA cannot be used. {exc}", cause="unusable_lora") from exc
    except OSError as exc:
        logger.exception("A trained LoRA could not be stored")
        if disk.is_full_disk(exc):
            raise EngineFailed(f"The trained LoRA could not be stored. {DISK_FULL}", cause="disk_full") from exc
        reason = exc.strerror or type(exc).__name__
        raise EngineFailed(f"The trained LoRA cannot be stored ({reason}); mend that, then run the job again.") from exc


def _facts(model: Path) -> dict[str, Any]:
    with model.open("rb") as content:
        return recorded_facts(inspect(content))


def _publish(model: Path, provenance: Provenance, key: str, *, job_id: str) -> Written:
    """Store the file with its provenance in it. The trainer's own stays as it is: a run goes on from that."""
    prepared = workspace(job_id) / PUBLISHED
    try:
        with prepared.open("w+b") as target:
            written = _write(model, provenance, target)
            target.seek(0)
            files.publish(key, target)
    finally:
        prepared.unlink(missing_ok=True)
    return written


def _write(model: Path, provenance: Provenance, target: Any) -> Written:
    with model.open("rb") as content:
        header = read_header(content)
        metadata = provenance.as_metadata(header.metadata, tensors_sha256=tensors_sha256(content, header))
        return write_with_metadata(content, header, metadata, target=target)
