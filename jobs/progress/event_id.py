"""`<attempt>-<seq>`: ids that survive a wiped Redis and clock steps, and are Redis Stream ids as they stand."""

import re
from typing import NamedTuple, Self

_FORM = re.compile(r"([0-9]{1,9})-([0-9]{1,18})")


class EventId(NamedTuple):
    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return None for anything that we never sent."""
        found = _FORM.fullmatch(text.strip())
        return cls(int(found[1]), int(found[2])) if found else None

    @classmethod
    def of_complete(cls, attempt: int) -> Self:
        """Return the id of `complete`: after every event of the last attempt, so that Redis refuses whatever a lost
        run still sends, and known from the row alone."""
        return cls(attempt + 1, 0)
