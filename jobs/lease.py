"""Heartbeat, progress and "was I cancelled?" in one fenced UPDATE a second; then what people ask of the engine."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, Self

from django.db import DatabaseError, connection
from django.db.models import F
from django.utils import timezone

from jobs import deadlines, instructions
from jobs.events import Controls
from jobs.models import Job, Status
from jobs.patience import waiting_at_most
from jobs.transitions import Claim
from jobs.worker_state import is_draining

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
# For a beat alone: with the patience of other writes it would be known too late that the claim cannot be renewed.
BEAT_WITHIN_SECONDS = 5.0
# Less than the reaper's patience (jobs.reaper.SILENCE_SECONDS): an engine is stopped before another gets its job.
RENEW_WITHIN_SECONDS = 40.0
# Hashing, copying and syncing many gigabytes on a slow disk. Beyond it the disk hangs, and another place may do better.
OWN_WORK_SECONDS = 3600.0
# In a holder: its worker is being stopped, so that its death is no fault of the job.
TOLD_TO_STOP = "told_to_stop"
PROGRESS_COLUMNS = (
    "progress",
    "current_step",
    "total_steps",
    "stage",
    "message",
    "iteration_speed",
    "eta_seconds",
    "current_loss",
    "learning_rate",
    "event_seq",
    "stepping_since",
)

# "unrenewed": for all that its worker knows, the claim is lost; when the database is back it may still stand.
Loss = Literal["cancelled", "lost", "unrenewed"]


class ClaimEnded(Exception):
    """The run must stop and may not write results: its job was cancelled, or the claim is lost."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss)
        self.loss: Loss = loss


class Lease:
    """Beats in a thread of its own, which covers loading, staging and the engine's `finally`."""

    def __init__(self, claim: Claim, job: Job, controls: Controls, *, stall_seconds: float) -> None:
        self._claim = claim
        self._job = job
        self._controls = controls
        self._stall_seconds = stall_seconds
        self._patience_seconds = stall_seconds
        # The holder is written by the run and by the beats, each with what it knows.
        self._holder = threading.Lock()
        self._stop = threading.Event()
        self._ended: Loss | None = None
        self._last_sign = time.monotonic()
        self._thread = threading.Thread(target=self._beat_on, name=f"lease-{job.pk}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Note that the engine gave a sign of life. Raises ClaimEnded if the run must stop."""
        self._last_sign = time.monotonic()
        if self._ended is not None:
            raise ClaimEnded(self._ended)

    @contextmanager
    def at_own_work(self) -> Iterator[None]:
        """Isengard itself is at work on files, of which the engine can tell nothing."""
        self._last_sign = time.monotonic()
        self._patience_seconds = OWN_WORK_SECONDS
        try:
            yield
        finally:
            self._last_sign = time.monotonic()
            self._patience_seconds = self._stall_seconds

    def note_on_holder(self, known: Mapping[str, object]) -> bool:
        """Add what is known to the row's holder; return whether the claim still has the row."""
        with self._holder:
            return self._write_holder(known)

    def _write_holder(self, known: Mapping[str, object]) -> bool:
        holder = {**(self._job.holder or {}), **known}
        if not self._claim.own().update(holder=holder):
            return False
        self._job.holder = holder
        return True

    def _beat_on(self) -> None:
        try:
            with waiting_at_most(BEAT_WITHIN_SECONDS):
                self._beat_until_the_end()
        finally:
            connection.close()

    def _beat_until_the_end(self) -> None:
        renewed = time.monotonic()
        while not self._stop.wait(BEAT_SECONDS):
            # Read before the sign: work of our own that ends meanwhile gives the sign first, and then the patience up.
            now, patience_seconds = time.monotonic(), self._patience_seconds
            if now - self._last_sign > patience_seconds:
                logger.error("The engine gives no sign of life; its job goes to another worker")
                self._ended = self._ended or "lost"
                return
            if self._beat():
                renewed = time.monotonic()
            elif time.monotonic() - renewed > RENEW_WITHIN_SECONDS:
                self._ended = self._ended or "unrenewed"

    def _beat(self) -> bool:
        """Renew the claim; False if the database did not answer."""
        beat = {"heartbeat": F("heartbeat") + 1, "heartbeat_at": timezone.now()}
        try:
            if is_draining():
                self._note_stop()
            if self._ended is None and deadlines.is_over(self._job):
                self._cancel_at_deadline()
            if self._ended is None and self._claim.live().update(**beat, **self._progress()):
                instructions.take(self._claim, self._controls)
                return True
            if self._ended is None:
                self._ended = self._why_ended()
            # The engine may take a while to stop; until then nobody may think that its worker is dead.
            self._claim.own().update(**beat)
        except DatabaseError as exc:
            logger.warning("Could not renew the claim: %s", exc)
            connection.close()
            return False
        return True

    def _note_stop(self) -> None:
        """Note why this worker ends, in case that it is killed before the job is given back."""
        # While the run itself writes the holder, no beat waits: the next one does it.
        if TOLD_TO_STOP not in (self._job.holder or {}) and self._holder.acquire(blocking=False):
            try:
                self._write_holder({TOLD_TO_STOP: True})
            finally:
                self._holder.release()

    def _cancel_at_deadline(self) -> None:
        # Read anew, because the run writes into its own object. It is only this claim's to cancel.
        job = self._claim.live().first()
        if job is not None:
            deadlines.cancel_at_deadline(job)

    def _why_ended(self) -> Loss:
        is_cancelled = self._claim.own().filter(status=Status.CANCELLED).exists()
        return "cancelled" if is_cancelled else "lost"

    def _progress(self) -> dict[str, object]:
        return {column: getattr(self._job, column) for column in PROGRESS_COLUMNS}
