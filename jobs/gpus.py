"""The figures of this host's GPUs: sampled by whoever works on them, kept with the GPU's row."""

import threading
from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from jobs import readable
from jobs.models import GpuLease, Job, Status
from jobs.nvml import GpuFigures, Sampler

# Of a worker that is gone the last figures would otherwise stand for ever.
SHOWN_SECONDS = 15.0

_samplers: dict[str, Sampler] = {}
_lock = threading.Lock()


def latest_figures(host: str, gpu: str) -> GpuFigures | None:
    """Return what this process last heard of a GPU, at once; the first call begins to listen.

    None for the GPUs of other hosts, without a driver, and where the driver does not answer.
    """
    if host != settings.HOSTNAME:
        return None
    with _lock:
        if gpu not in _samplers:
            _samplers[gpu] = Sampler(gpu)
            _samplers[gpu].start()
        return _samplers[gpu].latest


def record_figures(host: str, gpu: str) -> None:
    """Keep the newest figures in the GPU's row, for those who look at it from elsewhere."""
    figures = latest_figures(host, gpu)
    if figures is not None:
        GpuLease.objects.filter(host=host, gpu=gpu).update(figures=figures, figures_at=timezone.now())


def in_words(figures: Mapping[str, float]) -> str:
    memory = readable.gpu_memory(figures["memory_used"], figures["memory_total"])
    return f"{figures['utilization']:.0f} % busy, {memory}, {figures['temperature']:.0f} °C"


def refresh(job: Job) -> None:
    """Put the newest figures into the job's GPU as this process holds it, where there are any."""
    gpu = job.gpu
    figures = latest_figures(gpu.host, gpu.gpu) if gpu is not None else None
    if gpu is not None and figures is not None:
        gpu.figures, gpu.figures_at = dict(figures), timezone.now()


def figures_of(job: Job) -> dict[str, float] | None:
    """Return the figures of the GPU that a running job is on; None where they are unknown or old."""
    gpu = job.gpu if job.status == Status.RUNNING else None
    if gpu is None or gpu.figures is None or gpu.figures_at is None:
        return None
    is_fresh = timezone.now() - gpu.figures_at <= timedelta(seconds=SHOWN_SECONDS)
    return dict(gpu.figures) if is_fresh else None
