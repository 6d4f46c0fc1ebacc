"""What every job of the demo has: its row, its attempts, its log and the files it published."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from characters import files
from isengard.demo.history import Past
from isengard.demo.texts import MADE_ROOM, WORKER_DIED
from jobs import events, log
from jobs.models import Artifact, Attempt, Job, JobLogLine, Slot, Status
from jobs.publishing import storage_key
from jobs.schedule import START_AFTER
from jobs.timestamps import iso_milliseconds
from jobs.transitions import Claim

ENDINGS = {
    Status.COMPLETED: Attempt.Outcome.COMPLETED,
    Status.FAILED: Attempt.Outcome.FAILED,
    Status.CANCELLED: Attempt.Outcome.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file that a job published, and when. `attempt` is the number of the one that made it."""

    file: events.Artifact
    at: datetime
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    at: datetime
    event: str
    message: str
    level: str = "INFO"
    fields: Mapping[str, Any] = field(default_factory=dict)


def row_of(past: Past, **columns: Any) -> Job:
    """Return the job's row, not yet saved."""
    done = _done(past)
    job = Job(
        id=past.job_id,
        kind=past.kind,
        status=past.status,
        priority=past.priority,
        created_at=past.created_at,
        started_at=past.started_at,
        completed_at=past.ended_at,
        run_after=past.run_after,
        attempt=len(spans(past)),
        stage="queued" if past.run_after else str(past.status),
        message=_message(past),
        correlation_id="demo",
        **columns,
    )
    job.current_step = round(job.total_steps * done)
    job.progress = 100 if past.status == Status.COMPLETED else min(99, round(100 * done))
    job.heartbeat_at = past.ended_at if past.started_at else None
    if past.failure:
        job.error_message, job.failure_cause = past.failure.reason, past.failure.cause
    if past.run_after:
        job.order = {**job.order, START_AFTER: iso_milliseconds(past.run_after)}
    return job


def _done(past: Past) -> float:
    if past.status == Status.COMPLETED:
        return 1.0
    return past.failure.part if past.failure else 0.35 if past.started_at else 0.0


def _message(past: Past) -> str:
    word = past.kind.capitalize()
    if past.run_after:
        return ""
    return f"{word} complete" if past.status == Status.COMPLETED else f"{word} {past.status}"


def spans(past: Past) -> list[tuple[datetime, datetime]]:
    """Return from when until when each attempt went: none for a job that never started."""
    if past.started_at is None or past.ended_at is None:
        return []
    if past.interrupted_at is None:
        return [(past.started_at, past.ended_at)]
    middle = past.started_at + (past.ended_at - past.started_at) * past.interrupted_at
    return [(past.started_at, middle), (middle + timedelta(seconds=20), past.ended_at)]


def slot_of(kind: str) -> str:
    """Return a place that really is there, so that the hours of its GPU add up; else one that there might have been."""
    found = Slot.objects.filter(kind=kind).order_by("name").values_list("name", flat=True).first()
    return found or f"{kind}@{settings.HOSTNAME}#gpu{settings.GPU}"


def attempts_of(past: Past, job: Job, *, first_steps: Sequence[int | None]) -> list[Attempt]:
    """`first_steps`: from where each of them went on, None where that says nothing."""
    slot, times = slot_of(past.kind), spans(past)
    made = [
        Attempt(
            job=job,
            number=number,
            slot=slot,
            worker={"host": settings.HOSTNAME, "pid": 4000 + number},
            from_step=step,
            claimed_at=begin,
            ended_at=end,
            outcome=Attempt.Outcome.CRASHED if past.number % 2 else Attempt.Outcome.GIVEN_BACK,
            reason=WORKER_DIED if past.number % 2 else MADE_ROOM,
        )
        for number, ((begin, end), step) in enumerate(zip(times, first_steps, strict=False), start=1)
    ]
    if made:
        made[-1].outcome, made[-1].reason = ENDINGS[past.status], past.failure.reason if past.failure else ""
    return made


def store(job: Job, made: Sequence[Made]) -> list[Artifact]:
    """Publish the files and record them, as a run does."""
    rows = [_stored(job, each) for each in made]
    return Artifact.objects.bulk_create(rows)


def _stored(job: Job, made: Made) -> Artifact:
    key = storage_key(Claim(job.pk, job.kind, made.attempt, token="", slot=""), made.file)
    with made.file.path.open("rb") as content:
        files.publish(key, content)
    return Artifact(
        job=job,
        type=made.file.type,
        name=made.file.name,
        key=key,
        size_bytes=made.file.path.stat().st_size,
        step=made.file.step,
        details=dict(made.file.details),
        created_at=made.at,
    )


def write_log(past: Past, job: Job, made: Sequence[Artifact], extra: Sequence[Line] = ()) -> None:
    """Write the job's log, and archive it if the job has ended."""
    lines = sorted([*_course(past), *(_published(row) for row in made), *extra], key=lambda line: line.at)
    JobLogLine.objects.bulk_create(
        JobLogLine(
            job=job, timestamp=line.at, level=line.level, event=line.event, message=line.message, fields=line.fields
        )
        for line in lines
    )
    if job.is_terminal:
        log.archive(job)


def _published(row: Artifact) -> Line:
    fields = {"name": row.name, "size_bytes": row.size_bytes, "step": row.step}
    return Line(at=row.created_at, event=f"artifact.{row.type}", message="Published", fields=fields)


def _course(past: Past) -> Iterator[Line]:
    yield Line(at=past.created_at, event="job.accepted", message=f"{past.kind.capitalize()} accepted")
    slot, times = slot_of(past.kind), spans(past)
    for number, (begin, end) in enumerate(times, start=1):
        yield Line(at=begin, event="job.claimed", message="Attempt started", fields={"slot": slot, "attempt": number})
        if number < len(times):
            why = WORKER_DIED if past.number % 2 else MADE_ROOM
            yield Line(at=end, event="job.given_back", message=f"Waiting to go on: {why}", level="WARNING")
    if past.ended_at is not None:
        yield from _end(past, past.ended_at)


def _end(past: Past, at: datetime) -> Iterator[Line]:
    if past.failure:
        if past.failure.line:
            yield Line(at=at, event="engine.console", message=past.failure.line, level="ERROR")
        yield Line(at=at, event="job.failed", message=past.failure.reason, level="ERROR")
    elif past.status == Status.CANCELLED:
        yield Line(at=at, event="job.cancelled", message="Cancelled", level="WARNING")
    else:
        yield Line(at=at, event="job.completed", message="Completed")
