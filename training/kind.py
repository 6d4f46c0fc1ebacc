"""Training as a kind of job: where it runs, what its engine is given, what becomes of the result."""

from collections.abc import Generator, Iterator
from pathlib import Path

from django.conf import settings

from characters.models import TrainingImage
from jobs import facts, identity
from jobs.errors import EngineFailed
from jobs.events import Controls, Event, Finished
from jobs.files import as_local_file
from jobs.in_words import Told
from jobs.kinds import JobKind, SlotSpec, Verdict, engine_identity
from jobs.models import Job, Slot
from jobs.resume_points import ResumePoint
from jobs.transitions import Claim
from training import room, words
from training.again import newest_point, point_for_retry
from training.engines import aitoolkit
from training.engines.order import Installation, SourceImage, TrainingOrder
from training.params import TrainingParams
from training.publication import LoraVerdict

# Reading or downloading tens of gigabytes may be silent for so many times as long as anything else.
LOADING_PATIENCE = 3


class TrainingKind(JobKind):
    name = "training"
    id_prefix = "train"
    title = "Training"
    doing = "training"
    engine_name = "ai-toolkit"
    # It saves when it is asked to, and goes on from there.
    makes_room = True
    measures_loss = True
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
            images=() if aitoolkit.has_pinned_dataset(job.pk, workspace) else _images(job, workspace),
            workspace=workspace,
            controls=controls,
            checkpoint=_newest_checkpoint(job, workspace),
            dataset_hash=_dataset_hash(job),
        )
        return aitoolkit.train(order, installation(), limits=limits())

    def disk_bytes(self, job: Job) -> int:
        return room.disk_bytes(job)

    def stop_leftover(self, job: Job) -> bool:
        worker = (job.holder or {}).get("worker", {})
        if not identity.is_visible_from_here(worker):
            # Its own host is dead or stopped it: a worker that cannot renew its claim stops its trainer itself.
            return True
        return aitoolkit.stop_leftover({**engine_identity(job), "job": job.pk, "attempt": job.attempt})

    def kept_checkpoints(self, job: Job) -> int | None:
        return int(job.config["max_checkpoints"])

    def point_for_retry(self, job: Job, *, from_checkpoint: bool | None) -> ResumePoint | None:
        return point_for_retry(job, from_checkpoint=from_checkpoint)

    def asked_for(self, job: Job) -> Iterator[Told]:
        return words.asked_for(job)

    def sample_prompts(self, job: Job) -> list[str]:
        return words.sample_prompts(job)

    def conclude(self, job: Job, claim: Claim, finished: Finished) -> Verdict:
        return LoraVerdict(job, finished)


def installation() -> Installation:
    """Return the ai-toolkit that the settings name."""
    return Installation(
        directory=settings.AI_TOOLKIT_DIR,
        python=settings.AI_TOOLKIT_PYTHON,
        environment=settings.TRAINER_ENVIRONMENT,
        models=settings.MODELS_DIR,
    )


def limits() -> aitoolkit.Limits:
    """Return the adapter's waits, those for a drain within what a shutdown leaves."""
    grace, stall_seconds = settings.SHUTDOWN_GRACE_SECONDS, settings.TRAINER_STALL_MINUTES * 60
    return aitoolkit.Limits(
        # After the save the trainer still has to be stopped.
        drain_seconds=max(1.0, grace - min(10.0, 0.4 * grace)),
        stall_seconds=stall_seconds,
        loading_stall_seconds=LOADING_PATIENCE * stall_seconds,
    )


def _images(job: Job, workspace: Path) -> tuple[SourceImage, ...]:
    rows = TrainingImage.objects.filter(character_id=job.character_id).order_by("created_at", "id")
    folder = workspace / "downloads"
    images = tuple(_image(row, folder) for row in rows)
    if not images:
        raise EngineFailed("The character has no training images any more; upload some and start again.")
    return images


def _image(row: TrainingImage, folder: Path) -> SourceImage:
    try:
        path = as_local_file(row.key, folder)
    except FileNotFoundError as exc:
        raise EngineFailed(
            f"The file of the training image {row.name} is gone: delete it and upload it again."
        ) from exc
    return SourceImage(path=path, caption=row.caption, image_id=row.pk, name=row.name, sha256=row.sha256)


def _dataset_hash(job: Job) -> str | None:
    """Return what the newest attempt that got so far trained on."""
    told = [attempt["dataset"]["hash"] for attempt in facts.by_attempt(job) if attempt.get("dataset")]
    return told[-1] if told else None


def _newest_checkpoint(job: Job, workspace: Path) -> Path | None:
    point = newest_point(job)
    return as_local_file(point.key, workspace / "downloads") if point else None
