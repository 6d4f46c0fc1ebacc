"""The state machine. Every write of `Job.status` is here, as a conditional UPDATE whose row count decides."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from jobs.models import LIVE, TERMINAL, WAITING, Job, JobQuerySet, Slot, Status

# `queued → queued` and `running → queued`: given back. `pending → running`: claimed before its bell was heard.
ALLOWED: Mapping[str, frozenset[str]] = {
    Status.PENDING: frozenset({Status.QUEUED, Status.RUNNING, Status.FAILED, Status.CANCELLED}),
    Status.QUEUED: frozenset({Status.QUEUED, Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.RUNNING: frozenset({Status.QUEUED, Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
}
UNCLAIMED: Mapping[str, Any] = {"token": "", "slot": "", "holder": None, "gpu": None}


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at one job. What it writes counts only while the row still carries its token."""

    job_id: str
    kind: str
    attempt: int
    token: str
    slot: str

    def own(self) -> JobQuerySet:
        """Return the row while this claim holds it, whatever its status."""
        return Job.objects.filter(pk=self.job_id, token=self.token)

    def live(self) -> JobQuerySet:
        """Return the row while this claim may still write results."""
        return self.own().filter(status__in=LIVE)


def _move(rows: JobQuerySet, to: Status, **fields: Any) -> bool:
    """Move the matching row if its state allows it; return whether it moved."""
    sources = [source for source, targets in ALLOWED.items() if to in targets]
    if to in TERMINAL:
        fields = {"completed_at": timezone.now(), "eta_seconds": None, "stage": to.value, **fields}
    return rows.filter(status__in=sources).update(status=to, **fields) == 1


def mark_rung(job_id: str) -> bool:
    """`pending → queued`: its doorbell was heard."""
    return Job.objects.filter(pk=job_id, status=Status.PENDING).update(status=Status.QUEUED) == 1


def mark_all_rung(kind: str) -> int:
    """The same for every pending row of a kind: one heard bell is as good as many."""
    return Job.objects.filter(kind=kind, status=Status.PENDING).update(status=Status.QUEUED)


def claim(job: Job, slot: Slot, worker: Mapping[str, Any], *, starts_at_once: bool) -> Claim | None:
    """Take a waiting row for `slot`. None if somebody else was faster, or it was cancelled."""
    token = secrets.token_hex(16)
    now = timezone.now()
    started = {"started_at": Coalesce("started_at", now)} if starts_at_once else {}
    rows = Job.objects.filter(pk=job.pk, token="", status__in=WAITING)
    is_ours = _move(
        rows,
        Status.RUNNING if starts_at_once else Status.QUEUED,
        token=token,
        slot=slot.name,
        gpu=slot.gpu,
        holder={"worker": dict(worker), "slot": slot.name, "token": token},
        attempt=F("attempt") + 1,
        heartbeat=F("heartbeat") + 1,
        heartbeat_at=now,
        event_seq=0,
        run_after=None,
        stepping_since=None,
        stage="initializing" if starts_at_once else "queued",
        # What it waited for is over.
        message="",
        **started,
    )
    return Claim(job.pk, job.kind, job.attempt + 1, token, slot.name) if is_ours else None


def start(claim: Claim) -> bool:
    """`queued → running`: the engine began to execute."""
    return _move(claim.live(), Status.RUNNING, started_at=Coalesce("started_at", timezone.now()))


def complete(claim: Claim, **fields: Any) -> bool:
    done = {"progress": 100, "current_step": F("total_steps")}
    return _move(claim.live(), Status.COMPLETED, **{**fields, **done})


def fail(rows: JobQuerySet, reason: str, **fields: Any) -> bool:
    """`rows` is `claim.live()` or a reaped row; `reason` is shown to the person who asked for the job."""
    return _move(rows, Status.FAILED, error_message=reason, **fields)


def cancel(rows: JobQuerySet, message: str) -> bool:
    """Turn the status at once. The holder stays until the engine is gone."""
    return _move(rows, Status.CANCELLED, message=message)


def give_back(rows: JobQuerySet, *, message: str, crashes: int = 0, run_after: datetime | None = None) -> bool:
    """Put a claimed row back into the queue, at its old place."""
    return _move(
        rows,
        Status.QUEUED,
        **UNCLAIMED,
        crashes=F("crashes") + crashes,
        message=message,
        stage="queued",
        iteration_speed=None,
        eta_seconds=None,
        run_after=run_after,
    )


def release(rows: JobQuerySet) -> bool:
    """Clear the holder of an ended row: its engine is gone."""
    return rows.filter(status__in=TERMINAL).update(**UNCLAIMED) == 1
