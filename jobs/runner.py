"""Runs one claim: drives the engine, publishes what it makes, and settles how it ended."""

import errno
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from jobs import events, facts, files, gpu_room, instructions, kinds, log, losses, slots, transitions, windows
from jobs.advancing import MAX_MESSAGE_LENGTH, apply_progress
from jobs.artifacts import ENGINE_CONFIG
from jobs.errors import EngineAtFault, EngineFailed, EngineUnavailable
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
# Before the second and the third attempt: what failed is not yet over a second later.
RETRY_CRASHED_SECONDS = (5, 20)


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
        self.losses = losses.JobLosses(claim)
        self.lease = Lease(claim, job, self.controls, stall_seconds=self.kind.stall_seconds)

    def go(self) -> None:
        logger.info("Job claimed", extra={"attempt": self.claim.attempt, "slot": self.claim.slot})
        self._note("Attempt started", event="job.claimed", slot=self.claim.slot, attempt=self.claim.attempt)
        with active_controls(self.controls), self.lease:
            try:
                self._settle_work()
            except ClaimEnded as exc:
                self._settle_stop(exc)
            except EngineUnavailable as exc:
                self._settle_absence(exc)
            except EngineFailed as exc:
                self._settle_failure(exc)
            except Exception as exc:
                logger.exception("The run broke inside Isengard")
                self._settle_failure(_explain(exc))
        self._tidy_up()

    # --- driving the engine ---

    def _settle_work(self) -> None:
        patiently(lambda: instructions.drop_unfinished(self.job.pk))
        finished = self._drive()
        if finished is not None:
            self._complete(finished)
        elif self.controls.is_yielding:
            instructions.obeyed(self.claim, "yield")
            patiently(lambda: windows.begin(self.job.gpu))
            self._give_back(f"Paused for waiting generations; goes on at step {self._saved_step()}")
        elif self.controls.is_draining:
            self._give_back("Waiting to go on: its worker is shutting down")
        else:
            raise EngineFailed("The engine ended without a result.")

    def _saved_step(self) -> int:
        saved = self.job.artifacts.filter(type="checkpoint").order_by("-step").values_list("step", flat=True)
        return patiently(saved.first) or 0

    def _drive(self) -> events.Finished | None:
        """Run the engine to its end, or until the claim ends; return None if it stopped without a result."""
        files.workspace(self.job.pk).mkdir(parents=True, exist_ok=True)
        self._follow(gpu_room.make_room(self.job, self.controls))
        engine = self.kind.run(self.job, self.claim, files.workspace(self.job.pk), self.controls)
        try:
            return self._follow(engine)
        finally:
            engine.close()
            self.losses.finish()
            for line in self.controls.take_last_words():
                self.log.add(line)

    def _follow(self, engine: Iterator[events.Event]) -> events.Finished | None:
        for event in engine:
            self.lease.check()
            if is_draining():
                self.controls.ask_to_drain()
            if isinstance(event, events.Finished):
                return event
            self._act_on(event)
            self.log.flush_if_due()
            self.losses.flush_if_due()
            self.narrator.send_what_is_due()
        return None

    def _act_on(self, event: events.Event) -> None:
        match event:
            case events.Progress():
                self._note_progress(event)
            case events.Losses():
                self.losses.add(event.points)
            case events.Log():
                self.log.add(event)
            case events.Obeyed():
                instructions.obeyed(self.claim, event.verb)
            case events.Facts():
                facts.record(self.claim, self.job, event)
            case events.Artifact():
                self._publish(event)
            case events.Preview():
                self.narrator.preview(event)
            case events.Started():
                self._start()
            case events.Holding():
                self._hold(event)

    def _note_progress(self, event: events.Progress) -> None:
        before = self.job.current_step
        apply_progress(self.job, event, at_least=self._furthest_step)
        if self.job.stage == "training" and self.job.current_step > before:
            self.job.stepping_since = self.job.stepping_since or timezone.now()
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
        if event.type == "checkpoint":
            # A run that goes on from here elsewhere has the curve up to here.
            self.losses.flush()
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
        patiently(lambda: slots.note_success(self.claim.slot))
        self._note("Completed", event="job.completed")
        self._ended("Job completed")

    def _last_state(self) -> dict[str, object]:
        """Return what changed since the last heartbeat and outlives the run."""
        names = ("current_step", "progress", "current_loss", "learning_rate", "event_seq")
        return {name: getattr(self.job, name) for name in names}

    def _settle_absence(self, exc: EngineUnavailable) -> None:
        has_other = patiently(lambda: slots.note_absence(self.claim, self.kind, str(exc)))
        pause = timedelta(seconds=0 if has_other else RETRY_UNAVAILABLE_SECONDS)
        self._give_back(str(exc), run_after=timezone.now() + pause)

    def _settle_failure(self, exc: EngineFailed) -> None:
        crashes = self.job_crashes() + 1
        if isinstance(exc, EngineAtFault):
            if exc.is_broken:
                patiently(lambda: slots.note_failure(self.claim.slot, str(exc)))
            if crashes < MAX_CRASHES and patiently(lambda: slots.leave_to_others(self.claim)):
                self._give_back(f"Trying elsewhere: {exc}", crashes=1)
                return
        if exc.is_retryable and crashes < MAX_CRASHES:
            pause = timedelta(seconds=RETRY_CRASHED_SECONDS[crashes - 1])
            self._give_back(f"Trying again: {exc}", crashes=1, run_after=timezone.now() + pause)
        else:
            self._fail(str(exc), cause=exc.cause)

    def job_crashes(self) -> int:
        return patiently(lambda: self.claim.own().values_list("crashes", flat=True).first() or 0)

    def _fail(self, reason: str, *, cause: str = "") -> None:
        self.narrator.finish()
        is_gone = self._engine_is_gone()
        fields = self._last_state() | (dict(transitions.UNCLAIMED) if is_gone else {})
        fields |= {"message": f"{self.kind.title} failed", "failure_cause": cause}
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
            instructions.drop_all(self.job.pk)
            files.remove_workspace(self.job.pk)
            with suppress(OSError):
                losses.archive(self.job)
                log.archive(self.job)

    def _note(self, message: str, *, event: str, level: events.LogLevel = "INFO", **fields: object) -> None:
        self.log.add(events.Log(message=message, event=event, level=level, fields=fields))


def _explain(exc: Exception) -> EngineFailed:
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return EngineFailed("The disk is full: free some space there, then run the job again.", cause="disk_full")
    name = type(exc).__name__
    return EngineFailed(f"Isengard itself failed ({name}); the operator finds the cause in the log.", cause="bug")
