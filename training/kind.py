"""Training as a kind of job: where it runs, what its engine is given, what becomes of the result."""

import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from django.conf import settings

from characters import files, loras
from characters.models import Character, Lora, TrainingImage
from jobs import identity
from jobs.errors import EngineFailed
from jobs.events import Controls, Event, Finished
from jobs.files import as_local_file
from jobs.kinds import JobKind, SlotSpec, Verdict, engine_identity
from jobs.lease import ClaimEnded
from jobs.models import Artifact, Job, Slot
from jobs.transitions import Claim
from training.engines import aitoolkit
from training.engines.order import Installation, SourceImage, TrainingOrder
from training.params import TrainingParams


class TrainingKind(JobKind):
    name = "training"
    id_prefix = "train"
    title = "Training"
    # ai-toolkit's longest silence: it loads tens of gigabytes without a word, but the adapter ticks meanwhile.
    stall_seconds = 120

    def slots(self) -> list[SlotSpec]:
        name = f"training@{settings.HOSTNAME}#gpu{settings.GPU}"
        engine = str(settings.AI_TOOLKIT_DIR)
        return [SlotSpec(name=name, gpu_host=settings.HOSTNAME, gpu=settings.GPU, engine=engine)]

    def is_ready(self, slot: Slot) -> bool:
        return True

    def run(self, job: Job, claim: Claim, workspace: Path, controls: Controls) -> Generator[Event, None, None]:
        order = TrainingOrder(
            job_id=job.pk,
            attempt=claim.attempt,
            params=TrainingParams.model_validate(job.config),
            base_model=job.order["base_model"],
            trigger_word=job.order["trigger_word"],
            images=_images(job, workspace),
            workspace=workspace,
            controls=controls,
            checkpoint=_newest_checkpoint(job, workspace),
        )
        return aitoolkit.train(order, installation(), limits=limits())

    def stop_leftover(self, job: Job) -> bool:
        worker = (job.holder or {}).get("worker", {})
        if not identity.is_visible_from_here(worker):
            # Its own host is dead or stopped it: a worker that cannot renew its claim stops its trainer itself.
            return True
        return aitoolkit.stop_leftover({**engine_identity(job), "job": job.pk, "attempt": job.attempt})

    def kept_checkpoints(self, job: Job) -> int | None:
        return int(job.config["max_checkpoints"])

    def conclude(self, job: Job, claim: Claim, finished: Finished) -> Verdict:
        return LoraVerdict(job, finished)


def installation() -> Installation:
    """Return the ai-toolkit that the settings name."""
    return Installation(
        directory=settings.AI_TOOLKIT_DIR, python=settings.AI_TOOLKIT_PYTHON, environment=settings.TRAINER_ENVIRONMENT
    )


def limits() -> aitoolkit.Limits:
    """Return the adapter's waits, within what a shutdown leaves."""
    return aitoolkit.Limits(drain_seconds=max(1.0, settings.SHUTDOWN_GRACE_SECONDS - 3))


def _images(job: Job, workspace: Path) -> tuple[SourceImage, ...]:
    rows = TrainingImage.objects.filter(character_id=job.character_id).order_by("created_at", "id")
    folder = workspace / "downloads"
    images = tuple(SourceImage(path=as_local_file(row.key, folder), caption=row.caption) for row in rows)
    if not images:
        raise EngineFailed("The character has no training images any more; upload some and start again.")
    return images


def _newest_checkpoint(job: Job, workspace: Path) -> Path | None:
    newest = Artifact.objects.filter(job=job, type="checkpoint").order_by("-step").first()
    return as_local_file(newest.key, workspace / "downloads") if newest else None


class LoraVerdict(Verdict):
    """The trained file becomes the character's next version. A number that a cancel or a crash wastes stays unused."""

    def __init__(self, job: Job, finished: Finished) -> None:
        if finished.model is None or job.character_id is None:
            raise EngineFailed("The training ended without a LoRA file.")
        self.job = job
        self.details = dict(finished.details)
        try:
            self.version = loras.issue_version(job.character_id)
        except Character.DoesNotExist as exc:
            raise ClaimEnded("cancelled") from exc
        self.key = f"loras/{job.character_id}/v{self.version}.safetensors"
        with finished.model.open("rb") as content:
            self.sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            self.size_bytes = content.tell()
            content.seek(0)
            files.publish(self.key, content)

    def fields(self) -> dict[str, Any]:
        return {"output_key": self.key}

    def record(self) -> None:
        Lora.objects.create(
            character_id=self.job.character_id,
            version=self.version,
            name=f"{self.job.order['character_name']} v{self.version}",
            key=self.key,
            trigger_word=self.job.order["trigger_word"],
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            base_model=self.job.order["base_model"],
            job_id=self.job.pk,
            details=self.details,
        )

    def discard(self) -> None:
        files.discard([self.key])
