"""The state machine. Every write of `Job.status` is here, as a conditional UPDATE whose row count decides."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from jobs import attempts
from jobs.attempts import Ending, Outcome
from jobs.models import LIVE, TERMINAL, WAITING, Job, JobQuerySet, Slot, Status
from jobs.progress.event_id import EventId

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


def _move_and_let_go(rows: JobQuerySet, to: Status, ending: Ending, **fields: Any) -> bool:
    """Move the row. If `fields` clear its holder, its attempt ends with that, whoever dies in between."""
    if "holder" not in fields:
        return _move(rows, to, **fields)
    with transaction.atomic():
        job_id = rows.values_list("pk", flat=True).first()
        if job_id is None or not _move(rows, to, **fields):
            return False
        attempts.end(job_id, ending)
    return True


def new_token() -> str:
    return secrets.token_hex(16)


@transaction.atomic
def claim(
    job: Job, slot: Slot, worker: Mapping[str, Any], *, starts_at_once: bool, token: str | None = None
) -> Claim | None:
    """Take a waiting row for `slot`. None if somebody else was faster, it was cancelled, or its time is over.

    `token` is a new one unless the caller has made it, so that it can find the row if the answer is lost.
    """
    token = token or new_token()
    now = timezone.now()
    started = {"started_at": Coalesce("started_at", now)} if starts_at_once else {}
    in_time = Q(deadline_at=None) | Q(deadline_at__gt=now)
    rows = Job.objects.filter(in_time, pk=job.pk, token="", status__in=WAITING)
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
    if not is_ours:
        return None
    attempts.begin(job.pk, job.attempt + 1, slot=slot.name, worker=worker)
    return Claim(job.pk, job.kind, job.attempt + 1, token, slot.name)


def start(claim: Claim) -> bool:
    """`queued → running`: the engine began to execute."""
    return _move(claim.live(), Status.RUNNING, started_at=Coalesce("started_at", timezone.now()))


def complete(claim: Claim, **fields: Any) -> bool:
    done = {"progress": 100, "current_step": F("total_steps")}
    return _move_and_let_go(claim.live(), Status.COMPLETED, Ending(Outcome.COMPLETED), **{**fields, **done})


def fail(rows: JobQuerySet, reason: str, *, ending: Ending | None = None, **fields: Any) -> bool:
    """`rows` is `claim.live()` or a reaped row; `reason` is shown to the person who asked for the job."""
    how = ending or Ending(Outcome.FAILED, reason)
    return _move_and_let_go(rows, Status.FAILED, how, error_message=reason, **fields)


def cancel(rows: JobQuerySet, message: str, *, cause: str = "") -> bool:
    """Turn the status at once. The holder stays until the engine is gone."""
    return _move(rows, Status.CANCELLED, message=message, failure_cause=cause)


def give_back(
    rows: JobQuerySet, *, message: str, reason: str = "", crashes: int = 0, run_after: datetime | None = None
) -> bool:
    """Put a claimed row back into the queue, at its old place. `reason` is why, where the message says more."""
    outcome = Outcome.CRASHED if crashes else Outcome.GIVEN_BACK
    return _move_and_let_go(
        rows,
        Status.QUEUED,
        Ending(outcome, reason or message),
        **waiting_again(message),
        crashes=F("crashes") + crashes,
        run_after=run_after,
    )


def waiting_again(message: str) -> dict[str, Any]:
    """Return the columns of a row that was claimed and waits to go on, beside its status."""
    return {
        **UNCLAIMED,
        "message": message,
        "stage": "queued",
        "iteration_speed": None,
        "eta_seconds": None,
        "event_seq": EventId.of_return(0).seq,
    }


@transaction.atomic
def release(rows: JobQuerySet, *, reason: str = "") -> bool:
    """Clear the holder of an ended row: its engine is gone."""
    ended = rows.filter(status__in=TERMINAL)
    found = ended.values_list("pk", "status", "error_message", "message").first()
    if found is None or ended.update(**UNCLAIMED) != 1:
        return False
    job_id, status, error, message = found
    attempts.end(job_id, Ending(Outcome(status), reason or error or message))
    return True
