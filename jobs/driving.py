"""Drives one claim's engine, and does what its events say: progress, losses, artifacts, logs."""

from collections.abc import Iterator

from django.utils import timezone

from jobs import events, facts, files, gpu_room, instructions, kinds, log, losses, transitions
from jobs.advancing import apply_progress
from jobs.artifacts import ENGINE_CONFIG
from jobs.lease import ClaimEnded, Lease
from jobs.models import Job, Status
from jobs.narrator import Narrator
from jobs.patience import patiently
from jobs.publishing import drop_old_checkpoints, publish_artifact
from jobs.transitions import Claim
from jobs.worker_state import is_draining


class Driver:
    """`job` is kept as the row is, `lease` is the caller's to enter."""

    def __init__(self, claim: Claim, job: Job) -> None:
        self.claim = claim
        self.job = job
        self.kind = kinds.get(job.kind)
        self.controls = events.Controls()
        self.narrator = Narrator(job)
        self.log = log.JobLog(job.pk)
        self.lease = Lease(claim, job, self.controls, stall_seconds=self.kind.stall_seconds)
        self._losses = losses.JobLosses(claim)
        self._furthest_step = 0

    def drive(self) -> events.Finished | None:
        """Run the engine to its end, or until the claim ends; return None if it stopped without a result."""
        files.workspace(self.job.pk).mkdir(parents=True, exist_ok=True)
        self._follow(gpu_room.make_room(self.job, self.controls))
        engine = self.kind.run(self.job, self.claim, files.workspace(self.job.pk), self.controls)
        try:
            return self._follow(engine)
        finally:
            engine.close()
            self._losses.finish()
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
            self._losses.flush_if_due()
            self.narrator.send_what_is_due()
        return None

    def _act_on(self, event: events.Event) -> None:
        match event:
            case events.Progress():
                self._follow_progress(event)
            case events.Losses():
                self._losses.add(event.points)
            case events.Log():
                self.log.add(event)
            case events.Obeyed():
                instructions.obeyed(self.claim, event.verb)
            case events.Facts():
                patiently(lambda: facts.record(self.claim, self.job, event))
            case events.Artifact():
                self._publish(event)
            case events.Preview():
                self.narrator.preview(event)
            case events.Started():
                self._start()
            case events.Holding():
                self._note_engine(event)

    def _follow_progress(self, event: events.Progress) -> None:
        before = self.job.current_step
        apply_progress(self.job, event, at_least=self._furthest_step)
        if self.job.stage == "training" and self.job.current_step > before:
            now = timezone.now()
            # The earlier one, because the clock may have been set back since: then it counts anew from here.
            self.job.stepping_since = min(self.job.stepping_since or now, now)
        self._furthest_step = self.job.current_step
        self.narrator.progress()

    def _start(self) -> None:
        if self.job.status == Status.RUNNING:
            return
        if not patiently(self._is_started):
            raise ClaimEnded("lost")
        self.job.refresh_from_db(fields=["status", "started_at"])
        self.narrator.progress()

    def _is_started(self) -> bool:
        # A server that died in between may have recorded the start without telling us.
        return transitions.start(self.claim) or self.claim.live().filter(status=Status.RUNNING).exists()

    def _note_engine(self, event: events.Holding) -> None:
        if not patiently(lambda: self.lease.note_on_holder({"engine": dict(event.identity)})):
            raise ClaimEnded("lost")

    def _publish(self, event: events.Artifact) -> None:
        if event.type == "checkpoint":
            # A run that goes on from here elsewhere has the curve up to here.
            self._losses.flush()
        with self.lease.at_own_work():
            row = patiently(lambda: publish_artifact(self.claim, event))
        kept = self.kind.kept_checkpoints(self.job)
        if row.type == "checkpoint" and kept is not None:
            patiently(lambda: drop_old_checkpoints(self.job.pk, kept=kept))
        self.note("Published", event=f"artifact.{row.type}", name=row.name, size_bytes=row.size_bytes, step=row.step)
        if row.type != ENGINE_CONFIG:
            described = {"type": row.type, "name": row.name} | ({} if row.step is None else {"step": row.step})
            self.narrator.progress(artifact=described)

    def note(self, message: str, *, event: str, level: events.LogLevel = "INFO", **fields: object) -> None:
        self.log.add(events.Log(message=message, event=event, level=level, fields=fields))
