"""A page of pictures by the place of its first one, so that pictures that come meanwhile shift nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q, QuerySet

from jobs.models import Artifact

PICTURES_ON_A_PAGE = 60
NEWEST_FIRST = ("-created_at", "-pk")
OLDEST_FIRST = ("created_at", "pk")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture stands in time."""

    created_at: datetime
    pk: int

    @classmethod
    def of(cls, picture: Artifact) -> "Place":
        return cls(picture.created_at, picture.pk)

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """Return what `str` of a place says; None for anything else."""
        moment, _, number = text.partition("~")
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            return None
        try:
            created_at = datetime.fromisoformat(moment)
            return cls(created_at.replace(tzinfo=created_at.tzinfo or UTC).astimezone(UTC), int(number))
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        return f"{self.created_at.isoformat()}~{self.pk}"

    @property
    def is_newer(self) -> Q:
        """Return the condition for what is newer."""
        return Q(created_at__gt=self.created_at) | Q(created_at=self.created_at, pk__gt=self.pk)

    @property
    def is_older(self) -> Q:
        return Q(created_at__lt=self.created_at) | Q(created_at=self.created_at, pk__lt=self.pk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`first` and `last` are numbers among all `total`, from 1. `newer` and `older` are where those pages begin, None
    where there is none."""

    pictures: Sequence[Artifact]
    first: int
    total: int
    newer: Place | None
    older: Place | None

    @property
    def last(self) -> int:
        return self.first + len(self.pictures) - 1


def page_at(pictures: QuerySet[Artifact], place: Place | None) -> Page:
    """Return the page that begins at `place`, the newest for None, from four queries at most.

    Its pictures have their place alone: to sort all of them whole would take long.
    """
    total, pictures = pictures.count(), pictures.only("created_at")
    if place is None:
        rows = list(pictures.order_by(*NEWEST_FIRST)[: PICTURES_ON_A_PAGE + 1])
        return _page(rows, first=1, total=total, newer=None)
    rows = list(pictures.exclude(place.is_newer).order_by(*NEWEST_FIRST)[: PICTURES_ON_A_PAGE + 1])
    newer = pictures.filter(place.is_newer)
    before = list(newer.order_by(*OLDEST_FIRST)[:PICTURES_ON_A_PAGE])
    return _page(rows, first=newer.count() + 1, total=total, newer=Place.of(before[-1]) if before else None)


def _page(rows: list[Artifact], *, first: int, total: int, newer: Place | None) -> Page:
    shown, rest = rows[:PICTURES_ON_A_PAGE], rows[PICTURES_ON_A_PAGE:]
    return Page(pictures=shown, first=first, total=total, newer=newer, older=Place.of(rest[0]) if rest else None)


def neighbours(pictures: QuerySet[Artifact], picture: Artifact) -> tuple[Artifact | None, Artifact | None]:
    """Return the next newer and the next older one."""
    place = Place.of(picture)
    newer = pictures.filter(place.is_newer).order_by(*OLDEST_FIRST).first()
    return newer, pictures.filter(place.is_older).order_by(*NEWEST_FIRST).first()
