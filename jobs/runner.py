"""Runs one claim: drives the engine, publishes what it makes, and settles how it ended."""

import logging
import math
from collections.abc import Generator
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from jobs import events, files, kinds, log, transitions
from jobs.artifacts import ENGINE_CONFIG
from jobs.errors import EngineFailed, EngineUnavailable
from jobs.lease import ClaimEnded, Lease
from jobs.models import Job, Status
from jobs.narrator import Narrator, announce_end
from jobs.patience import patiently
from jobs.progress.writer import nudge
from jobs.publishing import drop_old_checkpoints, publish_artifact
from jobs.transitions import Claim
from jobs.worker_state import active_controls, is_draining

logger = logging.getLogger(__name__)

MAX_CRASHES = 3
RETRY_UNAVAILABLE_SECONDS = 10
MAX_MESSAGE_LENGTH = 500


def execute(claim: Claim) -> None:
    """Run a claimed job to its end. Whatever happens, nothing is raised and the row tells the truth."""
    job = Job.objects.select_related("gpu").get(pk=claim.job_id)
    with bound_contextvars(job=job.pk, correlation_id=job.correlation_id):
        Run(claim, job).go()


class Run:
    def __init__(self, claim: Claim, job: Job) -> None:
        self.claim = claim
        self.job = job
        self.kind = kinds.get(job.kind)
        self.controls = events.Controls()
        self._furthest_step = 0
        self.narrator = Narrator(job)
        self.log = log.JobLog(job.pk)
        self.lease = Lease(claim, job, stall_seconds=self.kind.stall_seconds)

    def go(self) -> None:
        logger.info("Job claimed", extra={"attempt": self.claim.attempt, "slot": self.claim.slot})
        self._note("Attempt started", event="job.claimed", slot=self.claim.slot, attempt=self.claim.attempt)
        with active_controls(self.controls), self.lease:
            try:
                self._settle_work()
            except ClaimEnded as exc:
                self._settle_stop(exc)
            except EngineUnavailable as exc:
                again = timezone.now() + timedelta(seconds=RETRY_UNAVAILABLE_SECONDS)
                self._give_back(str(exc), run_after=again)
            except EngineFailed as exc:
                self._settle_failure(exc)
            except Exception as exc:
                logger.exception("The run broke inside Isengard")
                self._fail(f"Isengard itself failed ({type(exc).__name__}); the operator finds the cause in the log.")
        self._tidy_up()

    # --- driving the engine ---

    def _settle_work(self) -> None:
        finished = self._drive()
        if finished is not None:
            self._complete(finished)
        elif self.controls.is_draining:
            self._give_back("Waiting to go on: its worker is shutting down")
        else:
            raise EngineFailed("The engine ended without a result.")

    def _drive(self) -> events.Finished | None:
        """Run the engine to its end, or until the claim ends; return None if it stopped without a result."""
        files.workspace(self.job.pk).mkdir(parents=True, exist_ok=True)
        engine = self.kind.run(self.job, self.claim, files.workspace(self.job.pk), self.controls)
        try:
            return self._follow(engine)
        finally:
            engine.close()

    def _follow(self, engine: Generator[events.Event, None, None]) -> events.Finished | None:
        for event in engine:
            self.lease.check()
            if is_draining():
                self.controls.ask_to_drain()
            if isinstance(event, events.Finished):
                return event
            self._act_on(event)
            self.log.flush_if_due()
            self.narrator.send_what_is_due()
        return None

    def _act_on(self, event: events.Event) -> None:
        match event:
            case events.Progress():
                self._note_progress(event)
            case events.Log():
                self.log.add(event)
            case events.Artifact():
                self._publish(event)
            case events.Preview():
                self.narrator.preview(event)
            case events.Started():
                self._start()
            case events.Holding():
                self._hold(event)

    def _note_progress(self, event: events.Progress) -> None:
        apply_progress(self.job, event, at_least=self._furthest_step)
        self._furthest_step = self.job.current_step
        self.narrator.progress()

    def _start(self) -> None:
        if self.job.status == Status.RUNNING:
            return
        if not transitions.start(self.claim):
            raise ClaimEnded("lost")
        self.job.refresh_from_db(fields=["status", "started_at"])
        self.narrator.progress()

    def _hold(self, event: events.Holding) -> None:
        holder = {**(self.job.holder or {}), "engine": dict(event.identity)}
        self.job.holder = holder
        if not self.claim.own().update(holder=holder):
            raise ClaimEnded("lost")

    def _publish(self, event: events.Artifact) -> None:
        row = publish_artifact(self.claim, event)
        kept = self.kind.kept_checkpoints(self.job)
        if row.type == "checkpoint" and kept is not None:
            drop_old_checkpoints(self.job.pk, kept=kept)
        self._note("Published", event=f"artifact.{row.type}", name=row.name, size_bytes=row.size_bytes, step=row.step)
        if row.type != ENGINE_CONFIG:
            described = {"type": row.type, "name": row.name} | ({} if row.step is None else {"step": row.step})
            self.narrator.progress(artifact=described)

    # --- how it ended ---

    def _complete(self, finished: events.Finished) -> None:
        verdict = self.kind.conclude(self.job, self.claim, finished)
        self.narrator.finish()

        def publish() -> bool:
            with transaction.atomic():
                is_ours = transitions.complete(
                    self.claim,
                    **self._last_state(),
                    **transitions.UNCLAIMED,
                    **verdict.fields(),
                    message=f"{self.kind.title} complete",
                )
                if is_ours:
                    verdict.record()
            return is_ours

        if not patiently(publish):
            verdict.discard()
            raise ClaimEnded("lost")
        self._note("Completed", event="job.completed")
        self._ended("Job completed")

    def _last_state(self) -> dict[str, object]:
        """Return what changed since the last heartbeat and outlives the run."""
        names = ("current_step", "progress", "current_loss", "learning_rate", "event_seq")
        return {name: getattr(self.job, name) for name in names}

    def _settle_failure(self, exc: EngineFailed) -> None:
        if exc.is_retryable and self.job_crashes() + 1 < MAX_CRASHES:
            self._give_back(f"Trying again: {exc}", crashes=1)
        else:
            self._fail(str(exc))

    def job_crashes(self) -> int:
        return patiently(lambda: self.claim.own().values_list("crashes", flat=True).first() or 0)

    def _fail(self, reason: str) -> None:
        self.narrator.finish()
        is_gone = self._engine_is_gone()
        fields = self._last_state() | (dict(transitions.UNCLAIMED) if is_gone else {})
        fields["message"] = f"{self.kind.title} failed"
        if patiently(lambda: transitions.fail(self.claim.live(), reason, **fields)):
            self._note(reason, event="job.failed", level="ERROR")
            self._ended("Job failed")
        elif is_gone:
            self._release()

    def _give_back(self, message: str, *, crashes: int = 0, run_after: datetime | None = None) -> None:
        self._note(message, event="job.given_back", level="WARNING")
        self.narrator.finish()
        if not self._engine_is_gone():
            return
        rows = self.claim.live()
        short = message[:MAX_MESSAGE_LENGTH]
        if patiently(lambda: transitions.give_back(rows, message=short, crashes=crashes, run_after=run_after)):
            logger.info("Job given back: %s", message)
            nudge(self.job.pk)
        else:
            self._release()

    def _settle_stop(self, exc: ClaimEnded) -> None:
        logger.info("The run stopped: its claim is %s", exc.loss)
        if self._engine_is_gone():
            self._release()

    def _release(self) -> None:
        if patiently(lambda: transitions.release(self.claim.own())):
            self._note("The engine has stopped", event="job.engine_stopped")

    def _engine_is_gone(self) -> bool:
        """Return whether nothing of the engine is left. If not, the holder stays, and the reaper tries again."""
        is_gone = self.kind.stop_leftover(self.job)
        if not is_gone:
            logger.error("The engine does not stop; its slot stays taken until the reaper has seen it gone")
        return is_gone

    def _ended(self, message: str) -> None:
        self.job.refresh_from_db()
        logger.info(message)
        announce_end(self.job)

    def _tidy_up(self) -> None:
        """Archive the log and remove the workspace of a job that has ended. What fails here, `cleanup` finds."""
        self.log.flush()
        self.job.refresh_from_db()
        if self.job.is_terminal and self.job.holder is None:
            files.remove_workspace(self.job.pk)
            with suppress(OSError):
                log.archive(self.job)

    def _note(self, message: str, *, event: str, level: events.LogLevel = "INFO", **fields: object) -> None:
        self.log.add(events.Log(message=message, event=event, level=level, fields=fields))


def apply_progress(job: Job, event: events.Progress, *, at_least: int = 0) -> None:
    """Put what the engine said into the job's columns, kept within what the row may hold.

    Between attempts the step goes back to the checkpoint, as is true; within one it does not.
    """
    if event.total is not None:
        job.total_steps = max(0, event.total)
    if event.step is not None:
        job.current_step = min(max(event.step, at_least), job.total_steps)
    if job.total_steps:
        # 100 belongs to `completed` alone.
        job.progress = min(99, job.current_step * 100 // job.total_steps)
    job.stage = event.stage or job.stage
    job.message = (event.message or job.message)[:MAX_MESSAGE_LENGTH]
    job.iteration_speed = _known(event.iteration_speed, job.iteration_speed)
    job.eta_seconds = _known(event.eta_seconds, job.eta_seconds)
    job.current_loss = _known(event.loss, job.current_loss)
    job.learning_rate = _known(event.learning_rate, job.learning_rate)


def _known(value: float | None, before: float | None) -> float | None:
    # A loss of NaN is news for the log; JSON has no word for it.
    return value if value is not None and math.isfinite(value) else before
