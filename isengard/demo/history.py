"""What happened in the demo's last month: which jobs, when, and how each ended. Rows and files are made elsewhere."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from isengard.demo.people import Person
from isengard.demo.texts import GENERATION_FAILURES, TRAINING_FAILURES, Failure
from jobs.models import Status

DAYS = 30
TRAINING_PART = 0.1
FAILED_PART, CANCELLED_PART, INTERRUPTED_PART = 0.07, 0.05, 0.2
# In the last day so much went wrong that there is something to look into.
TROUBLED_PART = 0.35
LAST_DAY = timedelta(hours=23)
WAITING_PART = 0.04
EARLY_JOBS = 8
STEPS = (500, 1000, 1000, 1500, 2000)
# As far ahead as may be asked for: no look at the demo takes so long, and till then nothing of it takes a GPU.
FIRST_START, LAST_START = timedelta(days=25), timedelta(days=29)

Kind = Literal["training", "generation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A job that ended, or waits. `person`: its place in the cast, None for pictures of nobody.

    `interrupted_at`: the part of its steps after which its first attempt ended and a second one went on.
    `again` says that it is the retry of the job before it in the history.
    """

    number: int
    kind: Kind
    person: int | None
    status: Status
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run_after: datetime | None = None
    steps: int = 0
    count: int = 1
    priority: int = 0
    failure: Failure | None = None
    interrupted_at: float | None = None
    again: bool = False

    @property
    def job_id(self) -> str:
        return f"{'train' if self.kind == 'training' else 'gen'}-demo{self.number:08d}"


def history(cast: Sequence[Person], count: int, now: datetime) -> Iterator[Past]:
    """Yield so many jobs, in the order in which they were asked for. One GPU did them, one after the other."""
    dice = random.Random(f"isengard {count}")
    waiting = round(count * WAITING_PART)
    times = sorted(_times(count - waiting, dice, now))
    free_at, before = times[0] if times else now, None
    for number, created_at in enumerate(times):
        past = _asked(number, cast, created_at, dice)
        if before is not None and before.status == Status.FAILED and dice.random() < 0.6:
            past = replace(
                past, kind=before.kind, person=before.person, again=True, steps=before.steps, count=before.count
            )
        before = _worked(past, free_at, dice, now)
        free_at = before.ended_at if before.started_at and before.ended_at else free_at
        yield before
    for number in range(count - waiting, count):
        past = _asked(number, cast, now - timedelta(minutes=dice.randint(2, 240)), dice)
        yield _waiting(_first_training(past, cast) if number % 4 == 0 else past, dice, now)


def _times(count: int, dice: random.Random, now: datetime) -> Iterator[datetime]:
    """Yield times of the last days, more of them lately; some of the last hours, where people look first."""
    for n in range(count):
        if n % 12 == 0:
            yield now - timedelta(hours=dice.uniform(0.3, 22))
        else:
            yield now - timedelta(days=DAYS * dice.random() ** 1.5, hours=0.3)


def _asked(number: int, cast: Sequence[Person], created_at: datetime, dice: random.Random) -> Past:
    trained = [n for n, person in enumerate(cast) if person.trainings]
    # The first ones train, so that there is something to generate with.
    is_training = bool(trained) and (number < len(trained) or dice.random() < TRAINING_PART)
    likely = dice.choices(trained, [cast[n].trainings for n in trained])[0] if trained else None
    if is_training:
        person = trained[number] if number < len(trained) else likely
        steps, count, kind = dice.choice(STEPS), 1, "training"
    else:
        person = likely if dice.random() < 0.9 else None
        steps, count, kind = 20, dice.choice((1, 1, 1, 1, 2, 4)), "generation"
    return Past(
        number=number,
        kind="training" if kind == "training" else "generation",
        person=person,
        status=Status.COMPLETED,
        created_at=created_at,
        steps=steps,
        count=count,
        priority=dice.choice((0, 0, 0, 0, 0, 5, 10)),
    )


def _worked(past: Past, free_at: datetime, dice: random.Random, now: datetime) -> Past:
    started_at = max(past.created_at, free_at) + timedelta(seconds=dice.uniform(0.4, 3))
    status, failure, part = _end(past, dice, is_troubled=past.created_at > now - LAST_DAY)
    seconds = past.steps / dice.uniform(0.9, 1.3) if past.kind == "training" else 14 * past.count * dice.uniform(0.7, 2)
    ended_at = started_at + timedelta(seconds=5 + seconds * part)
    if ended_at >= now:
        # Nothing of the demo is at work: what would be was called off before it began.
        return replace(past, status=Status.CANCELLED, ended_at=past.created_at + (now - past.created_at) / 2)
    has_second = status == Status.COMPLETED and not past.again and dice.random() < INTERRUPTED_PART
    return replace(
        past,
        status=status,
        failure=failure,
        started_at=started_at,
        ended_at=ended_at,
        interrupted_at=dice.uniform(0.4, 0.8) if has_second and past.kind == "training" else None,
    )


def _end(past: Past, dice: random.Random, *, is_troubled: bool) -> tuple[Status, Failure | None, float]:
    """Return how it ended, why, and after which part of its work."""
    luck = dice.random()
    # The first ones go well, so that there is something to generate with.
    is_early = past.number < EARLY_JOBS
    if luck < (TROUBLED_PART if is_troubled else FAILED_PART) and not past.again and not is_early:
        failure = dice.choice(TRAINING_FAILURES if past.kind == "training" else GENERATION_FAILURES)
        return Status.FAILED, failure, failure.part
    if luck > 1 - CANCELLED_PART and not is_early:
        return Status.CANCELLED, None, dice.uniform(0.1, 0.6)
    return Status.COMPLETED, None, 1.0


def _first_training(past: Past, cast: Sequence[Person]) -> Past:
    """Return the same as a training, of somebody new where there is one."""
    new = [n for n, person in enumerate(cast) if not person.trainings]
    return replace(past, kind="training", person=new[0] if new else past.person or 0, steps=STEPS[1], count=1)


def _waiting(past: Past, dice: random.Random, now: datetime) -> Past:
    ahead = FIRST_START + (LAST_START - FIRST_START) * dice.random()
    start = (now + ahead).replace(minute=0, second=0, microsecond=0)
    return replace(past, status=Status.QUEUED, run_after=start, priority=dice.choice((-5, 0, 0, 5, 10)))
