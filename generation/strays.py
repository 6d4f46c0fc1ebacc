"""Prompts of ours that are left on a server which was out of reach, while their jobs went on elsewhere."""

import logging
from collections.abc import Mapping

from generation.engines import comfyui
from generation.servers import reachable
from jobs.models import Job, Slot

logger = logging.getLogger(__name__)

SECONDS = 5.0


def take_back(slot: Slot) -> None:
    """Take back what no live run on this slot waits for. Never raises: what stays is a waste of time, and no fault."""
    address = reachable(slot.engine)
    try:
        # The queue before the rows: a prompt is queued by a claim that is already in the database.
        strays = _strays(comfyui.tagged_prompts(address), slot)
        if strays:
            logger.warning("Taking back %d prompts that were left on %s", len(strays), slot.name)
            comfyui.take_back_all(address, strays, seconds=SECONDS)
    except comfyui.ServerAway as exc:
        logger.info("Could not look for prompts left on %s: %s", slot.name, exc)


def _strays(queued: Mapping[str, comfyui.PromptTag], slot: Slot) -> list[str]:
    """Return those of our own jobs that no run on this slot holds. Another installation's jobs are not known here."""
    jobs = Job.objects.filter(pk__in={tag.job for tag in queued.values()})
    runs = {job.pk: (job.slot, job.attempt) for job in jobs}
    return [
        prompt_id for prompt_id, tag in queued.items() if tag.job in runs and runs[tag.job] != (slot.name, tag.attempt)
    ]
