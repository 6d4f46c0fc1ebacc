"""Windows: a long run on an exclusive GPU saves, lets waiting jobs of other kinds go first for a while, and goes on.

The rows say all: the run's instruction to yield, the end of the window on its GPU, and since when it makes steps. So
two sweeps at once, a run that ends meanwhile, or a worker that dies do no harm.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from jobs import instructions, kinds, log, turns
from jobs.models import GpuLease, Job, Status

logger = logging.getLogger(__name__)


def sweep() -> None:
    """Ask the runs that had their GPU for long enough to make room, where jobs of other kinds wait for it."""
    minutes = settings.GENERATION_WINDOW_MINUTES
    if not minutes or not turns.is_exclusive():
        return
    patient = [kind.name for kind in kinds.all_kinds() if kind.makes_room]
    # Counted from the first step of this attempt: one that only loads would never get anywhere. And only between
    # rounds of samples, of which one may outlast the patience for the save.
    long_at_it = Job.objects.filter(
        kind__in=patient,
        status=Status.RUNNING,
        stage="training",
        stepping_since__lte=timezone.now() - timedelta(minutes=minutes),
    )
    for job in long_at_it.exclude(instructions__verb="yield").select_related("gpu"):
        if job.gpu is not None and _is_waited_for(job, job.gpu):
            _ask(job)


def _is_waited_for(job: Job, gpu: GpuLease) -> bool:
    """Nobody gets a window in a run of higher priority."""
    return any(rival.priority >= job.priority for rival in turns.rivals(gpu, job.kind))


def _ask(job: Job) -> None:
    try:
        instructions.give(job, "yield")
    except (instructions.NotRunning, Job.DoesNotExist):
        return
    minutes = settings.GENERATION_WINDOW_MINUTES
    text = f"Makes room for waiting jobs after {minutes:g} minutes of steps: it saves, pauses and goes on later."
    log.write(job.pk, text, event="job.window")


def begin(gpu: GpuLease | None) -> None:
    """Open the window, before the run that makes room is given back: others then find it open."""
    if gpu is None:
        return
    until = timezone.now() + timedelta(seconds=settings.GENERATION_WINDOW_SECONDS)
    GpuLease.objects.filter(pk=gpu.pk).update(window_until=until)
    logger.info("A window for waiting jobs on %s, until %s", gpu, until)


def end(gpu: GpuLease) -> None:
    """Close the window: nobody waits any more whom it was for, or its time is over."""
    if gpu.window_until is not None:
        GpuLease.objects.filter(pk=gpu.pk).update(window_until=None)
        logger.info("The window on %s is over", gpu)
