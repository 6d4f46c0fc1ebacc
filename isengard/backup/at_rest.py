"""Rows as a backup keeps them: no claim outlives the process that made it, so none is in a copy.

A claim in a copy would be worse than useless: restored beside the original, on the same machine, it names a trainer
that is at work for somebody else, and the reaper would stop it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from jobs.models import LIVE, Attempt, Status
from jobs.transitions import UNCLAIMED, waiting_again

Values = Mapping[str, Any]

COPIED = "Waiting to go on: it was running when this backup was made"


def at_rest(table: str, row: Values, *, now: datetime | None = None) -> Values:
    """Return the row as if every worker had given back its job. Columns that a schema lacks are not added."""
    rest = _RULES.get(table)
    changed = rest(row, now or timezone.now()) if rest else {}
    return {**row, **{name: value for name, value in changed.items() if name in row}}


def _job(row: Values, _now: datetime) -> Values:
    if row["holder"] is None and not row["token"]:
        return {}
    if row["status"] not in LIVE:
        return _as_columns(UNCLAIMED)
    waiting = {**waiting_again(COPIED), "status": Status.QUEUED.value, "run_after": None}
    return _as_columns(waiting)


def _as_columns(fields: Values) -> Values:
    return {"gpu_id" if name == "gpu" else name: value for name, value in fields.items()}


def _attempt(row: Values, now: datetime) -> Values:
    if row["ended_at"] is not None:
        return {}
    return {"ended_at": now, "outcome": Attempt.Outcome.GIVEN_BACK.value, "reason": COPIED}


_RULES: Mapping[str, Callable[[Values, datetime], Values]] = {"jobs.job": _job, "jobs.attempt": _attempt}
