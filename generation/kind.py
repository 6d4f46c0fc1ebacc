"""Generation as a kind of job: one slot for each ComfyUI server, with one job sampling and one queued behind it."""

from collections.abc import Generator
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from django.conf import settings

from generation.engines import comfyui
from generation.engines.order import GenerationOrder, LoraFile
from generation.params import GenerationParams
from jobs.events import Controls, Event
from jobs.kinds import JobKind, SlotSpec, engine_identity
from jobs.models import Job, Slot
from jobs.outputs import done_indexes
from jobs.transitions import Claim

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class GenerationKind(JobKind):
    name = "generation"
    id_prefix = "gen"
    title = "Generation"
    # The second claim waits in ComfyUI's own queue, so that the GPU never waits for us.
    claims_per_slot = 2
    starts_at_claim = False
    stall_seconds = 120

    def slots(self) -> list[SlotSpec]:
        return [_slot(url) for url in settings.COMFYUI_URLS]

    def is_ready(self, slot: Slot) -> bool:
        return comfyui.is_ready(slot.engine)

    def run(self, job: Job, claim: Claim, workspace: Path, controls: Controls) -> Generator[Event, None, None]:
        order = GenerationOrder(
            job_id=job.pk,
            attempt=claim.attempt,
            params=GenerationParams.model_validate(job.config),
            count=job.order["count"],
            done=done_indexes(job),
            loras=tuple(LoraFile(name=lora["name"], strength=lora["strength"]) for lora in job.order["loras"]),
            server_url=Slot.objects.get(pk=claim.slot).engine,
            workspace=workspace,
            controls=controls,
        )
        return comfyui.generate(order, limits=limits())

    def stop_leftover(self, job: Job) -> bool:
        identity = engine_identity(job)
        return not identity or comfyui.stop_leftover(identity)


def limits() -> comfyui.Limits:
    """Return the adapter's waits, within what a shutdown leaves."""
    return comfyui.Limits(drain_seconds=max(1.0, settings.SHUTDOWN_GRACE_SECONDS - 3))


def _slot(url: str) -> SlotSpec:
    """Read `http://host:port#gpu=N`: a server on this machine uses this machine's GPU."""
    address, fragment = urldefrag(url)
    host = urlsplit(address).hostname or ""
    gpu = fragment.removeprefix("gpu=") or settings.GPU
    return SlotSpec(
        name=f"generation@{address}",
        gpu_host=settings.HOSTNAME if host in LOOPBACK else host,
        gpu=gpu,
        engine=address,
    )
