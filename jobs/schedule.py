"""When a job may start and by when it must have ended, as the request that makes it says."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from jobs.models import Job
from jobs.timestamps import iso_milliseconds

HEADER = "Cancel-After"
# In a job's order, beside the column that is cleared at each claim: what was asked for is told also afterwards.
START_AFTER = "start_after"
MIN_DEADLINE_SECONDS = 5
MAX_DEADLINE_SECONDS = 30 * 86_400
MAX_DELAY = timedelta(days=30)
MAX_TIME_LENGTH = 40

_PARTS = r"(?:(\d{1,7})d)?(?:(\d{1,7})h)?(?:(\d{1,7})m)?(?:(\d{1,7})s)?"
# A bare number is seconds only where it stands alone: whoever writes 1h30 means minutes.
_DURATION = re.compile(rf"{_PARTS}|(\d{{1,7}})", re.ASCII)
_UNIT_SECONDS = (86_400, 3600, 60, 1, 1)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

PARAMETER = OpenApiParameter(
    HEADER,
    {"type": "string", "maxLength": 40, "pattern": r"^(\d{1,7}|(\d{1,7}d)?(\d{1,7}h)?(\d{1,7}m)?(\d{1,7}s)?)$"},
    OpenApiParameter.HEADER,
    description=(
        f"The job's deadline, counted from now, instead of `deadline_seconds`: `90` or `90s`, `30m`, `2h`, `1h30m`, "
        f"`1d`; from {MIN_DEADLINE_SECONDS} seconds to {MAX_DEADLINE_SECONDS // 86_400} days. If both are given they "
        "must agree."
    ),
)


def _time(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("must be a time with its zone, such as 2026-11-23T22:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError("there is no such time") from exc


Time = Annotated[
    datetime,
    BeforeValidator(_time),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": MAX_TIME_LENGTH}),
]


class Scheduled(BaseModel):
    """What every request for a job may say of its time."""

    deadline_seconds: int | None = Field(
        None,
        ge=MIN_DEADLINE_SECONDS,
        le=MAX_DEADLINE_SECONDS,
        description="The job is cancelled if it has not ended so many seconds after it was accepted. Null: never.",
    )
    start_after: Time | None = Field(
        None,
        description=(
            f"The job does not start before this time, at most {MAX_DELAY.days} days ahead. Null or past: at once."
        ),
    )

    def parameters(self) -> dict[str, Any]:
        """Return what was asked for, in JSON's types. A schedule that nobody asked for is left out, so that a request
        of before there were schedules is still known for the same."""
        dumped = self.model_dump(mode="json")
        unasked = [name for name in Scheduled.model_fields if dumped[name] is None]
        return {name: value for name, value in dumped.items() if name not in unasked}

    def put_on(self, job: Job) -> Job:
        """Return `job` with its deadline, counted from its creation, and its start."""
        if self.deadline_seconds is not None:
            job.deadline_at = job.created_at + timedelta(seconds=self.deadline_seconds)
        if self.start_after is not None:
            job.order = {**job.order, START_AFTER: iso_milliseconds(self.start_after)}
            job.run_after = self.start_after if self.start_after > job.created_at else None
        return job


AT_ONCE = Scheduled()
Wanted = TypeVar("Wanted", bound=Scheduled)


def start_after_of(job: Job) -> str | None:
    """Return the time before which it was asked not to start."""
    asked: str | None = job.order.get(START_AFTER)
    return asked


def read(request: Request, wanted: Wanted) -> Wanted:
    """Return `wanted` with the deadline that the request's header sets. Raises ValidationError for times that cannot be
    kept."""
    return settled(wanted, cancel_after=request.headers.get(HEADER))


def settled(wanted: Wanted, *, cancel_after: str | None) -> Wanted:
    """Return `wanted` with the deadline that `cancel_after` sets, in the words of the header. Raises ValidationError
    for times that cannot be kept."""
    if cancel_after is not None:
        wanted = wanted.model_copy(
            update={"deadline_seconds": _agreed(_seconds(cancel_after), wanted.deadline_seconds)}
        )
    _refuse_impossible(wanted)
    return wanted


def _seconds(given: str) -> int:
    parts = _DURATION.fullmatch(given.strip()) if given.strip() else None
    if parts is None:
        raise ValidationError({HEADER: "must be a duration such as 90, 90s, 30m, 2h, 1h30m or 1d."})
    seconds = sum(int(count or 0) * unit for count, unit in zip(parts.groups(), _UNIT_SECONDS, strict=True))
    if not MIN_DEADLINE_SECONDS <= seconds <= MAX_DEADLINE_SECONDS:
        days = MAX_DEADLINE_SECONDS // 86_400
        raise ValidationError({HEADER: f"must be from {MIN_DEADLINE_SECONDS} seconds to {days} days."})
    return seconds


def _agreed(in_header: int, in_body: int | None) -> int:
    if in_body not in (None, in_header):
        raise ValidationError(
            {HEADER: f"says {in_header} seconds and deadline_seconds says {in_body}: send one of them, or the same."}
        )
    return in_header


def _refuse_impossible(wanted: Scheduled) -> None:
    start, now = wanted.start_after, timezone.now()
    if start is None:
        return
    if start > now + MAX_DELAY:
        raise ValidationError({"start_after": f"must be at most {MAX_DELAY.days} days ahead."})
    if wanted.deadline_seconds is not None and now + timedelta(seconds=wanted.deadline_seconds) <= start:
        raise ValidationError(
            {"start_after": f"must come before the deadline, which is {wanted.deadline_seconds} seconds from now."}
        )
