"""Durations, sizes and tables as people read them: in the admin and in the commands."""

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.utils import timezone

NOTHING = "-"


def duration(seconds: float | None) -> str:
    """Return `45 s`, `3 min 10 s`, `2 h 05 min` or `3 d 04 h`; a dash for None."""
    if seconds is None:
        return NOTHING
    whole = max(0, round(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if days:
        return f"{days} d {hours % 24:02} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def age(moment: datetime | None) -> str:
    """Return how long ago that was; a dash for None."""
    return duration(None if moment is None else (timezone.now() - moment).total_seconds())


def size(count_bytes: float) -> str:
    """Return `512 B`, `1.5 kB` … `2.0 TB`, in powers of 1000 as disks are sold."""
    if count_bytes < 1000:
        return f"{count_bytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count_bytes /= 1000
        if count_bytes < 999.95:
            return f"{count_bytes:.1f} {unit}"
    return f"{count_bytes / 1000:.1f} TB"


def gpu_memory(used_mebibytes: float, total_mebibytes: float) -> str:
    """Return `23.4 of 24.0 GiB`, as drivers and engines count it."""
    return f"{used_mebibytes / 1024:.1f} of {total_mebibytes / 1024:.1f} GiB"


def number(value: float, digits: int = 6) -> str:
    """Return a number with so many significant digits, and without a power of ten: 0.00005."""
    return f"{Decimal(f'{value:.{digits}g}'):f}" if math.isfinite(value) else str(value)


def shortened(text: str, length: int) -> str:
    """Return the text as one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns, two blanks apart."""
    lines = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
