"""What became of a job, moment by moment: accepted, claimed, started, saved, given back, ended."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from jobs import describing
from jobs.artifacts import CHECKPOINT
from jobs.models import Artifact, Attempt, Job, Status
from jobs.schedule import start_after_of

# How each ending of an attempt is coloured.
_TONES = {
    Attempt.Outcome.COMPLETED: "good",
    Attempt.Outcome.FAILED: "bad",
    Attempt.Outcome.CRASHED: "bad",
    Attempt.Outcome.CANCELLED: "quiet",
    Attempt.Outcome.GIVEN_BACK: "warn",
}
_ENDS = {Status.COMPLETED: ("Completed", "good"), Status.FAILED: ("Failed", "bad"), Status.CANCELLED: ("Cancelled", "")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """`place`: the worker and its host, where there is one. `is_ahead`: it has not come yet."""

    at: datetime
    title: str
    text: str = ""
    place: str = ""
    tone: str = ""
    is_ahead: bool = False


def timeline(job: Job, attempts: Iterable[Attempt], artifacts: Iterable[Artifact]) -> list[Moment]:
    """Return all that is known, the oldest first."""
    moments = [
        Moment(at=job.created_at, title="Accepted", text=_origin(job)),
        *_schedule(job),
        *(moment for attempt in attempts for moment in _of_attempt(job, attempt)),
        *(_checkpoint(artifact) for artifact in artifacts if artifact.type == CHECKPOINT),
        *_start_and_end(job),
    ]
    return sorted(moments, key=lambda moment: moment.at)


def place_of(attempt: Attempt) -> str:
    """Return `slot, process 4711 on host`."""
    worker = attempt.worker
    process = f"process {worker.get('pid', '?')} on {worker.get('host', '?')}" if worker else ""
    return ", ".join(filter(None, [attempt.slot, process]))


def _origin(job: Job) -> str:
    order: dict[str, Any] = job.order
    for name, words in (("retry_of", "a retry of"), ("extends", "more steps for"), ("rerun_of", "a rerun of")):
        if order.get(name):
            return f"As {words} {order[name]}"
    return ""


def _schedule(job: Job) -> Iterator[Moment]:
    now, asked = timezone.now(), start_after_of(job)
    if asked:
        moment = datetime.fromisoformat(asked)
        yield Moment(at=moment, title="May start from here on", tone="quiet", is_ahead=moment > now)
    elif job.run_after is not None and not job.is_terminal and job.run_after > now:
        yield Moment(at=job.run_after, title="Tries again", tone="quiet", is_ahead=True)
    if job.deadline_at is not None:
        text = "Cancelled then, unless it has ended" if not job.is_terminal else ""
        is_ahead = not job.is_terminal and job.deadline_at > now
        yield Moment(at=job.deadline_at, title="Deadline", text=text, tone="quiet", is_ahead=is_ahead)


def _of_attempt(job: Job, attempt: Attempt) -> Iterator[Moment]:
    step = f"From step {attempt.from_step}" if attempt.from_step else ""
    name = f"Attempt {attempt.number}"
    yield Moment(at=attempt.claimed_at, title=f"{name} claimed", text=step, place=place_of(attempt))
    if attempt.ended_at is not None:
        outcome = Attempt.Outcome(attempt.outcome) if attempt.outcome else Attempt.Outcome.GIVEN_BACK
        # Why the job itself ended is said once, where it ended.
        text = "" if attempt.reason == describing.said(job) else attempt.reason
        yield Moment(at=attempt.ended_at, title=f"{name} {_ended(outcome)}", text=text, tone=_TONES[outcome])


def _ended(outcome: Attempt.Outcome) -> str:
    return "was stopped" if outcome == Attempt.Outcome.CANCELLED else str(outcome.label)


def _checkpoint(artifact: Artifact) -> Moment:
    step = f" of step {artifact.step}" if artifact.step is not None else ""
    return Moment(at=artifact.created_at, title=f"Checkpoint{step} saved", text=artifact.name, tone="good")


def _start_and_end(job: Job) -> Iterator[Moment]:
    if job.started_at is not None:
        yield Moment(at=job.started_at, title="Started", tone="live")
    if job.completed_at is not None:
        title, tone = _ENDS[Status(job.status)]
        yield Moment(at=job.completed_at, title=title, text=describing.said(job), tone=tone)
