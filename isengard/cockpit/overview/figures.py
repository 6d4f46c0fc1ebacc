"""Figures of the last days: what ended how, how long GPUs were claimed, how soon jobs start.

They change slowly and cost a walk over all jobs of these days, so that each process keeps them for a minute.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day

from django.utils import timezone

from isengard.cockpit.overview import drawing
from jobs import readable
from jobs.models import TERMINAL, Attempt, Job, Slot, Status

DAYS = 14
RECENT = timedelta(days=7)
KEPT_SECONDS = 60.0

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`outcomes` and `gpu_hours` are of each day, today last. The rest is of the last seven days."""

    days: list[date]
    outcomes: list[Counter[str]]
    gpu_hours: list[float]
    started: int
    median_seconds: float | None
    p95_seconds: float | None
    success_percent: int | None

    @property
    def median(self) -> str:
        return readable.duration(self.median_seconds)

    @property
    def p95(self) -> str:
        return readable.duration(self.p95_seconds)

    @property
    def hours_in_all(self) -> float:
        return sum(self.gpu_hours)

    @property
    def ended_in_all(self) -> int:
        return sum(sum(day.values()) for day in self.outcomes)

    @property
    def outcome_columns(self) -> list[drawing.Column]:
        return drawing.columns(
            [
                (f"{day:%d %b}", _in_words(day, counts), [(status, counts[status]) for status in TERMINAL])
                for day, counts in zip(self.days, self.outcomes, strict=True)
            ]
        )

    @property
    def hour_columns(self) -> list[drawing.Column]:
        return drawing.columns(
            [
                (f"{day:%d %b}", f"{day:%d %b}: {hours:.1f} GPU hours", [("hours", hours)])
                for day, hours in zip(self.days, self.gpu_hours, strict=True)
            ]
        )

    @property
    def table(self) -> list[tuple[object, ...]]:
        """Return the same as text, the newest day first."""
        rows = zip(self.days, self.outcomes, self.gpu_hours, strict=True)
        return [(day, *(counts[status] for status in TERMINAL), hours) for day, counts, hours in rows][::-1]


def _in_words(day: date, counts: Counter[str]) -> str:
    return f"{day:%d %b}: " + ", ".join(f"{counts[status]} {status}" for status in TERMINAL)


_kept: tuple[float, Figures] | None = None


def recent_figures() -> Figures:
    """Return figures that are at most KEPT_SECONDS old."""
    global _kept
    if _kept is None or time.monotonic() - _kept[0] > KEPT_SECONDS:
        _kept = (time.monotonic(), read_figures(timezone.now()))
    return _kept[1]


def forget() -> None:
    global _kept
    _kept = None


def read_figures(now: datetime) -> Figures:
    days = [now.astimezone(UTC).date() - timedelta(days=n) for n in reversed(range(DAYS))]
    ended = list(
        Job.objects.filter(completed_at__gte=_midnight(days[0])).order_by().values_list("status", "completed_at")
    )
    waits = _waits(now)
    judged = [status for status, at in ended if at is not None and at >= now - RECENT and status != Status.CANCELLED]
    return Figures(
        days=days,
        outcomes=_outcomes(ended, days),
        gpu_hours=_gpu_hours(days, now),
        started=len(waits),
        median_seconds=_percentile(waits, 50),
        p95_seconds=_percentile(waits, 95),
        success_percent=round(100 * judged.count(Status.COMPLETED) / len(judged)) if judged else None,
    )


def _outcomes(ended: Iterable[tuple[str, datetime | None]], days: Sequence[date]) -> list[Counter[str]]:
    counted: dict[date, Counter[str]] = defaultdict(Counter)
    for status, at in ended:
        if at is not None:
            counted[at.astimezone(UTC).date()][status] += 1
    return [counted[day] for day in days]


def _waits(now: datetime) -> list[float]:
    """Return, sorted, how many seconds each job waited that started lately, from when it was allowed to."""
    started = Job.objects.filter(started_at__gte=now - RECENT).order_by()
    rows = started.values_list("created_at", "run_after", "started_at")
    return sorted(
        # Between attempts `run_after` is a pause, and later than the first start.
        max(0.0, (start - max(created, run_after if run_after and run_after <= start else created)).total_seconds())
        for created, run_after, start in rows
        if start is not None
    )


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that so many percent do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def _gpu_hours(days: Sequence[date], now: datetime) -> list[float]:
    """Return for each day the hours that GPUs were claimed. Two jobs that share a GPU count once."""
    begin = _midnight(days[0])
    gpus = dict(Slot.objects.values_list("name", "gpu_id"))
    claims: dict[object, list[Interval]] = defaultdict(list)
    attempts = Attempt.objects.exclude(ended_at__lt=begin).order_by("claimed_at")
    for slot, start, end in attempts.values_list("slot", "claimed_at", "ended_at"):
        claims[gpus.get(slot, slot)].append((max(start, begin), end or now))
    busy = [interval for intervals in claims.values() for interval in _merged(intervals)]
    return [_hours_within(busy, _midnight(day), _midnight(day) + timedelta(days=1)) for day in days]


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same times without overlaps; they come in order of their start."""
    merged: list[Interval] = []
    for start, end in intervals:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _hours_within(busy: Iterable[Interval], begin: datetime, end: datetime) -> float:
    seconds = sum(max(0.0, (min(until, end) - max(since, begin)).total_seconds()) for since, until in busy)
    return seconds / 3600


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time_of_day.min, tzinfo=UTC)
