"""Tells clients where a run is: at most four events a second, and nothing that matters is lost by that."""

import base64
import math
import time
from contextlib import suppress
from typing import Any

from django.db import DatabaseError

from jobs import gpus
from jobs.events import Preview
from jobs.models import Job
from jobs.payloads import complete_payload, progress_payload
from jobs.progress.event_id import EventId
from jobs.progress.writer import nudge, publish

MIN_GAP_SECONDS = 0.25
PREVIEW_GAP_SECONDS = 0.5
# What the GPU does is told so often also while nothing else changes, as when a model is loaded.
GPU_GAP_SECONDS = 5.0


class Narrator:
    """One attempt's events. `job.event_seq` counts them; the heartbeat writes it to the row."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._waiting: dict[str, Any] | None = None
        self._artifacts: list[dict[str, Any]] = []
        self._last_sent = self._last_preview = float("-inf")

    def progress(self, *, artifact: dict[str, Any] | None = None) -> None:
        """Tell the job's present state, at once or within MIN_GAP_SECONDS. A later state replaces one that waits;
        artifacts add up."""
        gpus.refresh(self._job)
        self._waiting = progress_payload(self._job)
        if artifact is not None:
            self._artifacts.append(artifact)
        self.send_what_is_due()

    def send_what_is_due(self) -> None:
        if self._waiting is None:
            self._look_at_the_gpu()
        if self._waiting is not None and time.monotonic() - self._last_sent >= MIN_GAP_SECONDS:
            self._send(self._waiting)

    def _look_at_the_gpu(self) -> None:
        silent_seconds = time.monotonic() - self._last_sent
        if GPU_GAP_SECONDS <= silent_seconds < math.inf:
            gpus.refresh(self._job)
            if gpus.figures_of(self._job) is not None:
                self._waiting = progress_payload(self._job)

    def preview(self, preview: Preview) -> None:
        now = time.monotonic()
        if now - self._last_preview < PREVIEW_GAP_SECONDS:
            return
        self._last_preview = now
        image = base64.b64encode(preview.image).decode()
        data = {
            "job_id": self._job.pk,
            "job_type": self._job.kind,
            "image": f"data:{preview.content_type};base64,{image}",
        } | ({} if preview.image_index is None else {"image_index": preview.image_index})
        publish(self._job.pk, self._next_id(), "preview", data, is_kept=False)

    def finish(self) -> None:
        """Send what still waits, in time for what comes after it."""
        if self._waiting is not None:
            time.sleep(max(0.0, self._last_sent + MIN_GAP_SECONDS - time.monotonic()))
            self._send(self._waiting)

    def _send(self, payload: dict[str, Any]) -> None:
        artifacts = {"artifacts": self._artifacts} if self._artifacts else {}
        is_sent = publish(self._job.pk, self._next_id(), "progress", payload | artifacts)
        self._waiting = None
        self._last_sent = time.monotonic()
        if is_sent:
            # Otherwise they are told with the next state, when Redis is back.
            self._artifacts = []

    def _next_id(self) -> EventId:
        self._job.event_seq += 1
        return EventId(self._job.attempt, self._job.event_seq)


def announce_return(job_id: str) -> None:
    """Tell that the job waits again. If Redis is away, streams find it in the row."""
    job = None
    with suppress(DatabaseError):
        job = Job.objects.select_related("gpu").filter(pk=job_id).first()
    if job is not None and job.event_seq == EventId.of_return(job.attempt).seq:
        publish(job.pk, EventId.of_return(job.attempt), "progress", progress_payload(job))
    else:
        # Somebody has claimed or cancelled it since.
        nudge(job_id)


def announce_end(job: Job) -> None:
    """Tell that the job has ended. If Redis is away, streams find it in the row."""
    publish(job.pk, EventId.of_complete(job.attempt), "complete", complete_payload(job))
