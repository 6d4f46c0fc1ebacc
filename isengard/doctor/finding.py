"""One line of the doctor's."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`area` is what was looked at; `advice` what to do, empty where all is well."""

    level: Level
    area: str
    text: str
    advice: str = ""


def ok(area: str, text: str) -> Finding:
    return Finding(level=Level.OK, area=area, text=text)


def warning(area: str, text: str, advice: str) -> Finding:
    return Finding(level=Level.WARNING, area=area, text=text, advice=advice)


def failed(area: str, text: str, advice: str) -> Finding:
    return Finding(level=Level.FAILED, area=area, text=text, advice=advice)
