"""Runs one claim: has the engine driven, and settles how it ended."""

import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from characters.disk import is_full_disk
from jobs import events, files, instructions, log, losses, slots, transitions, windows
from jobs.advancing import MAX_MESSAGE_LENGTH
from jobs.attempts import Ending, Outcome
from jobs.driving import Driver
from jobs.errors import EngineAtFault, EngineFailed, EngineUnavailable
from jobs.giving_up import MAX_CRASHES, last_words
from jobs.lease import ClaimEnded
from jobs.models import Job, Status
from jobs.narrator import announce_end, announce_return
from jobs.patience import is_away, patiently, until_told
from jobs.transitions import Claim
from jobs.worker_state import active_controls

logger = logging.getLogger(__name__)

DATABASE_AWAY = "Waiting to go on: the database did not answer"
RETRY_UNAVAILABLE_SECONDS = 10
# Before the second and the third attempt: what failed is not yet over a second later.
RETRY_CRASHED_SECONDS = (5, 20)


def execute(claim: Claim) -> None:
    """Run a claimed job to its end. Whatever happens, nothing is raised and the row tells the truth."""
    job = _load(claim)
    if job is not None:
        with bound_contextvars(job=job.pk, correlation_id=job.correlation_id):
            Run(claim, job).go()


def _load(claim: Claim) -> Job | None:
    try:
        return until_told(lambda: Job.objects.select_related("gpu").get(pk=claim.job_id))
    except Job.DoesNotExist:
        logger.info("The job is gone before its run began", extra={"job": claim.job_id})
    except Exception:
        logger.exception("The claimed job cannot be read; it is left to the reaper", extra={"job": claim.job_id})
    return None


class Run:
    def __init__(self, claim: Claim, job: Job) -> None:
        self.claim = claim
        self.job = job
        self.driver = Driver(claim, job)
        self.kind = self.driver.kind
        self.controls = self.driver.controls
        self.narrator = self.driver.narrator
        self.note = self.driver.note

    def go(self) -> None:
        logger.info("Job claimed", extra={"attempt": self.claim.attempt, "slot": self.claim.slot})
        self.note("Attempt started", event="job.claimed", slot=self.claim.slot, attempt=self.claim.attempt)
        with active_controls(self.controls), self.driver.lease:
            try:
                self._settle()
            except Exception as exc:
                logger.exception("The end of the run broke inside Isengard")
                self._settle_anew(exc)
        self._tidy_up()

    def _settle(self) -> None:
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
            self._settle_breakage(exc)

    def _settle_anew(self, exc: Exception) -> None:
        try:
            self._settle_breakage(exc)
        except Exception:
            # The claim is renewed no longer.
            logger.exception("The job is left to the reaper")

    def _settle_work(self) -> None:
        patiently(lambda: instructions.drop_unfinished(self.job.pk))
        finished = self.driver.drive()
        if finished is not None:
            self._complete(finished)
        elif self.controls.is_yielding:
            instructions.obeyed(self.claim, "yield")
            patiently(lambda: windows.begin(self.job.gpu))
            self._give_back(f"Paused for waiting generations; goes on at step {self._saved_step()}")
        elif self.controls.is_draining:
            why = "its worker is shutting down" if self.controls.is_hurried else "its slot is being drained"
            self._give_back(f"Waiting to go on: {why}")
        else:
            raise EngineFailed("The engine ended without a result.")

    def _saved_step(self) -> int:
        saved = self.job.artifacts.filter(type="checkpoint").order_by("-step").values_list("step", flat=True)
        return patiently(saved.first) or 0

    # --- how it ended ---

    def _complete(self, finished: events.Finished) -> None:
        with self.driver.lease.at_own_work():
            verdict = patiently(lambda: self.kind.conclude(self.job, self.claim, finished))
        self._end_the_story()

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

        try:
            is_published = until_told(publish) or until_told(self._is_completed)
        except Exception as exc:
            # Of a database that is away nobody knows what it will have committed: its files are swept when it does.
            if not is_away(exc):
                verdict.discard()
            raise
        if not is_published:
            verdict.discard()
            raise ClaimEnded("lost")
        until_told(lambda: slots.note_success(self.claim.slot))
        self.note("Completed", event="job.completed")
        self._ended("Job completed")

    def _is_completed(self) -> bool:
        """Return whether this attempt's verdict stands: its commit may have outlived the server that took it."""
        done = Job.objects.filter(pk=self.job.pk, status=Status.COMPLETED, attempt=self.claim.attempt)
        return done.exists()

    def _last_state(self) -> dict[str, Any]:
        """Return what changed since the last heartbeat and outlives the run."""
        names = ("current_step", "progress", "current_loss", "learning_rate", "event_seq")
        return {name: getattr(self.job, name) for name in names}

    def _settle_absence(self, exc: EngineUnavailable) -> None:
        has_other = until_told(lambda: slots.note_absence(self.claim, self.kind, str(exc)))
        pause = timedelta(seconds=0 if has_other else RETRY_UNAVAILABLE_SECONDS)
        self._give_back(str(exc), run_after=timezone.now() + pause)

    def _settle_failure(self, exc: EngineFailed) -> None:
        crashes = self.job_crashes() + 1
        if isinstance(exc, EngineAtFault):
            if exc.is_broken:
                until_told(lambda: slots.note_failure(self.claim.slot, str(exc)))
            if crashes < MAX_CRASHES and until_told(lambda: slots.leave_to_others(self.claim)):
                self._give_back(f"Trying elsewhere: {exc}", reason=str(exc), crashes=1)
                return
        if exc.is_retryable and crashes < MAX_CRASHES:
            self._try_again(exc, crashes)
        elif exc.is_retryable:
            self._give_up(exc, crashes)
        else:
            self._fail(str(exc), cause=exc.cause)

    def _try_again(self, exc: EngineFailed, crashes: int) -> None:
        if crashes == MAX_CRASHES - 1:
            # Whether it is the job or the place, the last attempt tells, if there is another place.
            until_told(lambda: slots.leave_to_others(self.claim))
        pause = timedelta(seconds=RETRY_CRASHED_SECONDS[crashes - 1])
        self._give_back(f"Trying again: {exc}", reason=str(exc), crashes=1, run_after=timezone.now() + pause)

    def _give_up(self, exc: EngineFailed, crashes: int) -> None:
        reason = until_told(lambda: last_words(self.job, str(exc)))
        self._fail(reason, cause=exc.cause, ending=Ending(Outcome.CRASHED, str(exc)), crashes=crashes)

    def _settle_breakage(self, exc: Exception) -> None:
        if is_away(exc):
            self._give_back(DATABASE_AWAY, reason=f"The database did not answer: {exc}")
        else:
            self._settle_failure(_explain(exc))

    def job_crashes(self) -> int:
        return until_told(lambda: self.claim.own().values_list("crashes", flat=True).first() or 0)

    def _fail(self, reason: str, *, cause: str = "", **how: Any) -> None:
        self._end_the_story()
        is_gone = self._engine_is_gone()
        fields = self._last_state() | (dict(transitions.UNCLAIMED) if is_gone else {})
        fields |= {"message": f"{self.kind.title} failed", "failure_cause": cause, **how}
        if until_told(lambda: transitions.fail(self.claim.live(), reason, **fields)):
            self.note(reason, event="job.failed", level="ERROR")
            self._ended("Job failed")
        elif is_gone:
            self._release()

    def _give_back(self, message: str, **how: Any) -> None:
        self.note(message, event="job.given_back", level="WARNING")
        self.narrator.finish()
        if not self._engine_is_gone():
            return
        short = message[:MAX_MESSAGE_LENGTH]
        if until_told(lambda: transitions.give_back(self.claim.live(), message=short, **how)):
            logger.info("Job given back: %s", message)
            announce_return(self.job.pk)
        else:
            self._release()

    def _end_the_story(self) -> None:
        """Write what the engine has told: who hears of the end asks for the log at once."""
        self.narrator.finish()
        self.driver.log.flush()

    def _settle_stop(self, exc: ClaimEnded) -> None:
        logger.info("The run stopped: its claim is %s", exc.loss)
        if exc.loss == "unrenewed":
            self._give_back(DATABASE_AWAY)
        elif self._engine_is_gone():
            self._release()

    def _release(self) -> None:
        if until_told(lambda: transitions.release(self.claim.own())):
            self.note("The engine has stopped", event="job.engine_stopped")

    def _engine_is_gone(self) -> bool:
        """Return whether nothing of the engine is left. If not, the holder stays, and the reaper tries again."""
        is_gone = self.kind.stop_leftover(self.job)
        if not is_gone:
            logger.error("The engine does not stop; its slot stays taken until the reaper has seen it gone")
        return is_gone

    def _ended(self, message: str) -> None:
        try:
            until_told(self.job.refresh_from_db)
        except Job.DoesNotExist:
            logger.info("The job was deleted right after its end: %s", message)
            return
        logger.info(message)
        self.driver.log.flush()
        announce_end(self.job)

    def _tidy_up(self) -> None:
        """Archive the log and remove the workspace of a job that has ended. What fails here, `cleanup` finds."""
        try:
            patiently(self.job.refresh_from_db)
            self.driver.log.flush()
            self._clear_away()
        except Job.DoesNotExist:
            logger.info("Nothing is left to tidy up: the job is deleted")
        except Exception as exc:
            logger.warning("What the run left is not tidied up yet: %s", exc)

    def _clear_away(self) -> None:
        if self.job.is_terminal and self.job.holder is None:
            patiently(lambda: instructions.drop_all(self.job.pk))
            files.remove_workspace(self.job.pk)
            with suppress(OSError, DatabaseError):
                losses.archive(self.job)
                log.archive(self.job)


def _explain(exc: Exception) -> EngineFailed:
    if is_full_disk(exc):
        return EngineFailed("The disk is full: free some space there, then run the job again.", cause="disk_full")
    name = type(exc).__name__
    return EngineFailed(f"Isengard itself failed ({name}); the operator finds the cause in the log.", cause="bug")
