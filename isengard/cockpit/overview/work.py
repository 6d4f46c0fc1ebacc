"""What runs now, and what waits next and why."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F
from django.urls import reverse

from isengard.cockpit.overview import drawing
from isengard.cockpit.overview.rows import Rows, kind_title, page_of
from jobs import queue, readable, waiting
from jobs.models import Job, LossPoint, Status
from jobs.payloads import message_of

CURVE_STEPS = 200
SHOWN_RUNNING = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A card. `curve` is a line of `drawing.line`, "" where no loss is known."""

    job: Job
    address: str
    title: str
    kind: str
    state: str
    says: str
    speed: str
    remaining: str
    loss: str
    curve: str
    duration: str
    place: str
    place_address: str
    is_cancellable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`place` 0: it has none yet, because its time has not come."""

    job: Job
    address: str
    title: str
    kind: str
    place: int
    waited: str
    why: str
    starts_at: datetime | None
    deadline_at: datetime | None


def running(rows: Rows) -> list[Running]:
    shown = rows.held[:SHOWN_RUNNING]
    curves = _curves(shown)
    slots = {slot.name: slot for slot in rows.slots}
    return [
        Running(
            job=job,
            address=page_of(job),
            title=rows.title_of(job),
            kind=kind_title(job.kind),
            state=_state(job),
            says=message_of(job),
            speed=f"{job.iteration_speed:.2f} steps/s" if job.iteration_speed is not None else "",
            remaining=readable.duration(job.eta_seconds) if job.eta_seconds is not None else "",
            loss=f"{job.current_loss:.4f}" if job.current_loss is not None else "",
            curve=curves.get(job.pk, ""),
            duration=readable.duration(job.elapsed_seconds) if job.started_at else "",
            place=f"{job.slot} · {job.gpu}" if job.gpu else job.slot,
            place_address=page_of(slots[job.slot]) if job.slot in slots else "",
            is_cancellable=not job.is_terminal,
        )
        for job in shown
    ]


def _state(job: Job) -> str:
    if job.is_terminal:
        return "stopping"
    return "running" if job.status == Status.RUNNING else "starting"


def _curves(jobs: list[Job]) -> dict[str, str]:
    """Return the loss of each job's last CURVE_STEPS steps as a line."""
    recent = LossPoint.objects.filter(job__in=jobs, step__gt=F("job__current_step") - CURVE_STEPS, loss__isnull=False)
    points: dict[str, list[float]] = defaultdict(list)
    for job_id, loss in recent.order_by("job", "step").values_list("job_id", "loss"):
        if loss is not None:
            points[job_id].append(loss)
    return {job_id: drawing.line(losses) for job_id, losses in points.items()}


def first_waiting(rows: Rows) -> list[Waiting]:
    places = queue.positions(rows.waiting)
    reasons = waiting.messages(rows.waiting)
    return [
        Waiting(
            job=job,
            address=page_of(job),
            title=rows.title_of(job),
            kind=kind_title(job.kind),
            place=places.get(job.pk, 0),
            waited=readable.age(job.created_at),
            why=reasons.get(job.pk, job.message),
            starts_at=job.run_after if job.run_after and job.run_after > rows.now else None,
            deadline_at=job.deadline_at,
        )
        for job in rows.waiting
    ]


def all_running_address() -> str:
    return f"{reverse('admin:jobs_job_changelist')}?engine=held"


def all_waiting_address() -> str:
    return f"{reverse('admin:jobs_job_changelist')}?status__in=pending,queued"
