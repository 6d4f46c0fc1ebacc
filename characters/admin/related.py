"""What the layers above know of characters and LoRAs: the pages show it, and whoever knows it is connected to them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from characters.models import Lora


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job, and where its page is."""

    title: str
    address: str
    status: str
    at: datetime
    text: str = ""
    thumbnail_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A picture that a training made of what it had learnt. `prompt` is the same for those to be compared."""

    prompt: str
    url: str
    thumbnail_url: str
    step: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """Generations that name a LoRA: how many, and the newest of them."""

    count: int
    newest: list[Work]


class Source(Protocol):
    def trainings(self, character_id: str) -> list[Work]:
        """Return the newest first."""

    def generations(self, character_id: str) -> list[Work]:
        """Return the newest first."""

    def uses(self, lora: Lora) -> Uses: ...

    def last_samples(self, job_ids: Collection[str]) -> dict[str, list[Sample]]:
        """Return what each training made in its last round."""

    def addresses(self, job_ids: Collection[str]) -> dict[str, str]:
        """Return the pages of those jobs that are still there."""

    def last_activity(self, character_ids: Collection[str]) -> dict[str, datetime]:
        """Return when the last job of each was asked for."""


class _Nobody:
    def trainings(self, character_id: str) -> list[Work]:
        return []

    def generations(self, character_id: str) -> list[Work]:
        return []

    def uses(self, lora: Lora) -> Uses:
        return Uses(count=0, newest=[])

    def last_samples(self, job_ids: Collection[str]) -> dict[str, list[Sample]]:
        return {}

    def addresses(self, job_ids: Collection[str]) -> dict[str, str]:
        return {}

    def last_activity(self, character_ids: Collection[str]) -> dict[str, datetime]:
        return {}


_connected: list[Source] = [_Nobody()]


def connect(source: Source) -> None:
    _connected.append(source)


def source() -> Source:
    """Return what was connected last."""
    return _connected[-1]
