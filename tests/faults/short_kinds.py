"""Both kinds of job with engines that take milliseconds: all around the engine is what runs in production."""

import time
from collections.abc import Generator
from pathlib import Path

from generation.kind import GenerationKind
from jobs.cancelling import cancel_job
from jobs.events import Artifact, Controls, Event, Facts, Finished, Holding, Log, Loss, Losses, Progress, Started, Tick
from jobs.kinds import SlotSpec
from jobs.models import Job, Slot
from jobs.outputs import done_indexes
from jobs.transitions import Claim
from tests.characters.making import jpeg
from tests.training.aitoolkit_fixtures import write_lora
from training.again import newest_point
from training.kind import TrainingKind

TOTAL_STEPS = 100
SAVED_AT = 40
CANCELS_ITSELF = "cancels-itself"
TICK_SECONDS = 0.005
MOST_TICKS = 4000


class ShortTraining(TrainingKind):
    def slots(self) -> list[SlotSpec]:
        return [SlotSpec(name="short-training", gpu_host="here", gpu="0", engine="")]

    def run(self, job: Job, claim: Claim, workspace: Path, controls: Controls) -> Generator[Event, None, None]:
        point = newest_point(job)
        begun_at = point.step if point else 0
        yield Holding(identity={"pid": 0})
        yield Facts(facts={"begun_at": begun_at})
        yield Log(message=f"Begins at {begun_at}")
        if begun_at < SAVED_AT:
            yield Progress(stage="training", step=SAVED_AT, total=TOTAL_STEPS, loss=0.5)
            yield Losses(points=tuple(Loss(step=at, loss=0.5, learning_rate=1e-4) for at in range(1, SAVED_AT)))
            yield _file("checkpoint", write_lora(workspace / "saved.safetensors"), step=SAVED_AT)
        yield _file("sample", _picture(workspace / "sample.jpg"), step=TOTAL_STEPS)
        yield Progress(stage="training", step=TOTAL_STEPS, total=TOTAL_STEPS, loss=0.4)
        yield Finished(model=write_lora(workspace / "trained.safetensors"))

    def stop_leftover(self, job: Job) -> bool:
        return True


class ShortGeneration(GenerationKind):
    def slots(self) -> list[SlotSpec]:
        return [SlotSpec(name="short-generation", gpu_host="here", gpu="0", engine="")]

    def is_ready(self, slot: Slot) -> bool:
        return True

    def run(self, job: Job, claim: Claim, workspace: Path, controls: Controls) -> Generator[Event, None, None]:
        done = done_indexes(job)
        yield Holding(identity={"server": "nowhere", "prompts": []})
        yield Started()
        for index in range(job.order["count"]):
            if index not in done:
                yield Progress(stage="sampling", step=index, total=job.order["count"])
                picture = _picture(workspace / f"{index}.jpg")
                name = f"{job.pk}-{index}.jpg"
                yield Artifact(type="output", name=name, path=picture, details={"index": index, "seed": index})
                yield from _cancelled(job)
        yield Finished()

    def stop_leftover(self, job: Job) -> bool:
        return True


def _cancelled(job: Job) -> Generator[Event, None, None]:
    """A job that asks for it by its correlation id is cancelled in the middle, and hears of it from its heartbeat."""
    if job.correlation_id == CANCELS_ITSELF and not Job.objects.get(pk=job.pk).is_terminal:
        cancel_job(Job.objects.get(pk=job.pk))
        for _ in range(MOST_TICKS):
            time.sleep(TICK_SECONDS)
            yield Tick()


def _picture(path: Path) -> Path:
    path.write_bytes(jpeg())
    return path


def _file(of_type: str, path: Path, *, step: int) -> Artifact:
    return Artifact(type=of_type, name=path.name, path=path, step=step)  # type: ignore[arg-type]
