"""When a job may start and by when it must have ended, in a form."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from isengard.cockpit.start.fields import about_field
from isengard.cockpit.start.submitting import Complaints
from jobs.schedule import HEADER

DEADLINE, START = "deadline", "start_after"
PATHS = (HEADER, START, "deadline_seconds")
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """As it was filled in. Times are in UTC, as on all pages of the admin."""

    deadline: str = ""
    start_after: str = ""

    @classmethod
    def sent(cls, sent: QueryDict) -> "Timing":
        return cls(deadline=sent.get(DEADLINE, "").strip(), start_after=sent.get(START, "").strip())

    def body(self) -> dict[str, Any]:
        """Return it as a request says it."""
        zone = "Z" if _WITHOUT_ZONE.fullmatch(self.start_after) else ""
        return {START: f"{self.start_after}{zone}"} if self.start_after else {}

    @property
    def cancel_after(self) -> str | None:
        return self.deadline or None

    def told(self, complaints: Complaints) -> Mapping[str, Any]:
        return {
            "deadline": self.deadline,
            "start_after": self.start_after,
            "deadline_errors": [*about_field(HEADER, complaints), *about_field("deadline_seconds", complaints)],
            "start_errors": about_field(START, complaints),
            "is_set": bool(self.deadline or self.start_after),
        }


AT_ONCE = Timing()
