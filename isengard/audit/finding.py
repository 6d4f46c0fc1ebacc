"""One thing that is not as it must be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`subject` is a key in storage, a path or a row's id; `advice` what a person can do.

    `is_still_so()` looks again, so that nothing is reported that was merely under way. `repair()` is there only where
    it can do no harm; it may raise OSError or DatabaseError.
    """

    code: str
    subject: str
    text: str
    advice: str
    is_still_so: Callable[[], bool] = field(repr=False)
    repair: Callable[[], Any] | None = field(default=None, repr=False)

    def described(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "subject": self.subject,
            "text": self.text,
            "advice": self.advice,
            "is_repairable": self.repair is not None,
        }
