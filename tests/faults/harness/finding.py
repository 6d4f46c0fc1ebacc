"""What an auditor finds, and how it is counted."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "lost",
    "doubled",
    "stuck",
    "orphan process",
    "orphan or partial file",
    "torn file",
    "wrong result",
    "bad answer",
    "broken stream",
]
KINDS: tuple[Kind, ...] = (
    "lost",
    "doubled",
    "stuck",
    "orphan process",
    "orphan or partial file",
    "torn file",
    "wrong result",
    "bad answer",
    "broken stream",
)


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    what: str
