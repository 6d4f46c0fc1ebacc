"""Generation as a kind of job: one slot for each ComfyUI server, with one job sampling and one queued behind it."""

import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files.storage import default_storage
from rest_framework.exceptions import NotFound

from generation import inputs, pictures, strays, words, workflow_choice
from generation.engines import comfyui
from generation.engines.order import GenerationOrder, GivenImage, ImagePrompts, LoraFile
from generation.params import GenerationParams, ImageField
from generation.servers import gpu_of, reachable
from generation.workflows.errors import FileBroken
from generation.workflows.workflow import Workflow
from jobs import slots
from jobs.errors import EngineFailed
from jobs.events import Artifact, Controls, Event, Facts
from jobs.in_words import Told
from jobs.kinds import JobKind, SlotSpec, engine_identity
from jobs.models import Job, Slot
from jobs.outputs import done_indexes
from jobs.retrying import NotRetryable
from jobs.transitions import Claim

# A PNG has at most three bytes a pixel, once in the workspace and once in storage.
BYTES_PER_PIXEL = 6
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class GenerationKind(JobKind):
    name = "generation"
    id_prefix = "gen"
    title = "Generation"
    # The second claim waits in ComfyUI's own queue, so that the GPU never waits for us.
    claims_per_slot = 2
    starts_at_claim = False
    doing = "generating"
    engine_name = "ComfyUI"
    stall_seconds = 120

    def slots(self) -> list[SlotSpec]:
        return [_slot(url) for url in settings.COMFYUI_URLS]

    def is_ready(self, slot: Slot) -> bool:
        return comfyui.is_ready(reachable(slot.engine))

    def affinity(self, job: Job) -> str:
        # Loading another model takes longer than most images; another LoRA is a matter of seconds.
        workflow = job.order.get("workflow")
        return f"workflow:{workflow['name']}" if workflow else str(job.config["model_variant"])

    def disk_bytes(self, job: Job) -> int:
        config = job.config
        factor = config["upscale_factor"] if config["use_upscale"] else 1
        pixels = config["width"] * config["height"] * factor**2
        return int(job.order["count"] * pixels * BYTES_PER_PIXEL)

    def welcome_back(self, slot: Slot) -> None:
        strays.take_back(slot)

    def free_gpu(self, slot: Slot) -> Iterator[Event]:
        yield from comfyui.free_gpu(reachable(slot.engine))

    def hold_for_retry(self, job: Job) -> None:
        try:
            inputs.pin_again(job)
        except NotFound as exc:
            raise NotRetryable(f"{exc}, and the job works from it: upload it again first.") from exc

    def asked_for(self, job: Job) -> Iterator[Told]:
        return words.asked_for(job)

    def run(self, job: Job, claim: Claim, workspace: Path, controls: Controls) -> Generator[Event, None, None]:
        order = GenerationOrder(
            job_id=job.pk,
            attempt=claim.attempt,
            params=GenerationParams.model_validate(job.config),
            count=job.order["count"],
            done=done_indexes(job),
            loras=tuple(LoraFile(name=lora["name"], strength=lora["strength"]) for lora in job.order["loras"]),
            server_url=reachable(Slot.objects.get(pk=claim.slot).engine),
            workspace=workspace,
            controls=controls,
            images=copy_given_images(job, workspace),
            prompts=tuple(ImagePrompts(**texts) for texts in job.order.get("prompts", [])),
            workflow=_workflow_of(job),
        )
        if order.done:
            # Counted as the progress is: every image has its steps.
            yield Facts(facts={"start_step": len(order.done) * order.params.steps})
        with closing(comfyui.generate(order, limits=limits())) as events:
            yield from _explained(events, order, job)

    def stop_leftover(self, job: Job) -> bool:
        identity = dict(engine_identity(job))
        if not identity:
            return True
        identity["server"] = reachable(str(identity["server"]))
        # What is left on a server that nobody can reach harms nobody: it is taken back when the server returns.
        return comfyui.stop_leftover(identity) or slots.is_abandoned(job.slot)


def _workflow_of(job: Job) -> Workflow | None:
    """Return the operator's workflow as it was when the job was accepted. Raises EngineFailed."""
    try:
        return workflow_choice.kept_by(job)
    except FileBroken as exc:
        raise EngineFailed(f"The workflow that this job began with cannot be used: {exc}") from exc


def _explained(events: Iterator[Event], order: GenerationOrder, job: Job) -> Iterator[Event]:
    """Write into each picture how it was made, before it is published: what is stored never changes."""
    loras = tuple(pictures.UsedLora.of_order(lora) for lora in job.order["loras"])
    for event in events:
        if isinstance(event, Artifact) and event.type == "output":
            yield pictures.explain(event, order, loras=loras, version=settings.VERSION)
        else:
            yield event


def copy_given_images(job: Job, workspace: Path) -> dict[ImageField, GivenImage]:
    """Copy what the job works from out of storage. Raises EngineFailed."""
    images = {}
    for field, image in job.order.get("images", {}).items():
        path = workspace / "inputs" / image["name"]
        _copy_stored(image["key"], path)
        images[field] = GivenImage(name=image["name"], path=path)
    return images


def _copy_stored(key: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with default_storage.open(key, "rb") as stored, path.open("wb") as copy:
            shutil.copyfileobj(stored, copy)
    except FileNotFoundError as exc:
        raise EngineFailed(f"The image {path.name} is gone: upload it again.") from exc


def limits() -> comfyui.Limits:
    """Return the adapter's waits, within what a shutdown leaves."""
    has_other_servers = len(settings.COMFYUI_URLS) > 1
    return comfyui.Limits(
        drain_seconds=max(1.0, settings.SHUTDOWN_GRACE_SECONDS - 3),
        # Alone, it is given the time of a restart; otherwise the job goes on elsewhere meanwhile.
        refused_seconds=5.0 if has_other_servers else 60.0,
    )


def _slot(url: str) -> SlotSpec:
    """Read `http://host:port#gpu=N`: a server on this machine uses this machine's GPU."""
    host = urlsplit(url).hostname or ""
    address = comfyui.shown(url)
    return SlotSpec(
        name=f"generation@{address}",
        gpu_host=settings.HOSTNAME if host in LOOPBACK else host,
        gpu=gpu_of(url, default=settings.GPU),
        engine=address,
    )
