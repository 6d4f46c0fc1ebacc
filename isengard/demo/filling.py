"""Puts the demo in, and takes exactly it away again: what is of it is known by its ids."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from characters.lifecycle import delete_character
from characters.models import Character
from isengard.demo import casting
from isengard.demo.generations import make_generation
from isengard.demo.history import DAYS, Past, history
from isengard.demo.people import Person, cast_of
from isengard.demo.trainings import make_training
from jobs.cancelling import NotCancellable, cancel_job
from jobs.deleting import NotDeletable, delete_job
from jobs.models import Job

OF_DEMO = Q(pk__startswith="train-demo") | Q(pk__startswith="gen-demo")


class DemoRefused(Exception):
    """It is there already, or there is other work here; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """`kept` are jobs that an engine is at work on."""

    characters: int
    jobs: int
    kept: list[str]


def demo_jobs() -> QuerySet[Job]:
    return Job.objects.filter(OF_DEMO)


def demo_characters() -> QuerySet[Character]:
    return Character.objects.filter(pk__startswith=casting.ID_PREFIX)


def fill(*, jobs: int, characters: int, is_forced: bool = False) -> None:
    """Raises DemoRefused."""
    _refuse_where_work_is(is_forced=is_forced)
    now = timezone.now()
    cast = cast_of(characters)
    with tempfile.TemporaryDirectory(prefix="isengard-demo-") as folder:
        people = _make_characters(cast, now, Path(folder))
        before: Job | None = None
        for past in history(cast, jobs, now):
            with transaction.atomic():
                before = _make(past, cast, people, before=before, folder=Path(folder))


def _refuse_where_work_is(*, is_forced: bool) -> None:
    if demo_jobs().exists() or demo_characters().exists():
        raise DemoRefused("The demo is here already: take it away with --remove first.")
    if not is_forced and (Job.objects.exists() or Character.objects.exists()):
        raise DemoRefused(
            "This installation has characters or jobs of its own. Show the demo in an empty one, with another "
            "ISENGARD_DATA_DIR, or put it beside them with --force; --remove takes away nothing but the demo."
        )


def _make_characters(cast: Sequence[Person], now: datetime, folder: Path) -> list[Character]:
    first = now - timedelta(days=DAYS + 1)
    return [
        casting.make_character(n, person, created_at=first + timedelta(minutes=11 * n), folder=folder)
        for n, person in enumerate(cast)
    ]


def _make(past: Past, cast: Sequence[Person], people: Sequence[Character], *, before: Job | None, folder: Path) -> Job:
    retried = before if past.again else None
    if past.person is None:
        return make_generation(past, None, None, before=retried, folder=folder)
    person, character = cast[past.person], people[past.person]
    if past.kind == "training":
        return make_training(past, person, character, before=retried, folder=folder)
    return make_generation(past, person, character, before=retried, folder=folder)


def remove() -> Removed:
    """Take away the characters with all that is theirs, and the jobs; those at work are cancelled, and go next time."""
    characters = list(demo_characters().values_list("pk", flat=True))
    for character_id in characters:
        delete_character(character_id)
    removed, kept = 0, []
    # What goes on from another's checkpoint first.
    for job in demo_jobs().order_by("-created_at"):
        if _is_removed(job):
            removed += 1
        else:
            kept.append(job.pk)
    return Removed(characters=len(characters), jobs=removed, kept=kept)


def _is_removed(job: Job) -> bool:
    try:
        if not job.is_terminal:
            cancel_job(job)
        delete_job(job.pk)
    except (NotCancellable, NotDeletable):
        return False
    return True
