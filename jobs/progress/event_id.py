"""`<attempt>-<seq>`: ids that survive a wiped Redis and clock steps, and are Redis Stream ids as they stand.

What is told from the row between two events of a run has the id of the first of them and a number: `1-5.1`, `1-5.2`.
Nobody hands out these numbers: whoever reads says how far it was, so each id comes once, and in order.
"""

import re
from typing import NamedTuple, Self

_FORM = re.compile(r"([0-9]{1,9})-([0-9]{1,18})(?:\.([0-9]{1,9}))?")
# More than any attempt has events.
_RETURN_SEQ = 10**9


class EventId(NamedTuple):
    attempt: int
    seq: int
    retold: int = 0

    def __str__(self) -> str:
        return f"{self.position}.{self.retold}" if self.retold else self.position

    @property
    def position(self) -> str:
        """Return the id in the job's Redis Stream of the event that it is, or comes after."""
        return f"{self.attempt}-{self.seq}"

    def retell(self) -> Self:
        """Return the next id for what the row says while no new event has come."""
        return self._replace(retold=self.retold + 1)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return None for anything that we never sent."""
        found = _FORM.fullmatch(text.strip())
        return cls(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None

    @classmethod
    def of_return(cls, attempt: int) -> Self:
        """Return the id of the news that the job went back to the queue: after every event of that attempt, so that
        Redis refuses whatever a lost run still sends, and known from the row alone."""
        return cls(attempt, _RETURN_SEQ)

    @classmethod
    def of_complete(cls, attempt: int) -> Self:
        """Return the id of `complete`: after all that an attempt may say, and known from the row alone."""
        return cls(attempt + 1, 0)


BEFORE_ALL = EventId(0, -1)
