"""Parts of a file, as the `Range` header asks for them (RFC 9110, section 14). Framework-free."""

import re
from dataclasses import dataclass
from typing import IO

ONE_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


class NotSatisfiable(Exception):
    """The range lies behind the end of the file, or is empty."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length_bytes(self) -> int:
        return self.last - self.first + 1


def span_of(header: str, size_bytes: int) -> Span | None:
    """Return what one range means for a file of this size, or None where the whole file is to be sent.

    Several ranges at once and what makes no sense may be ignored, and are. Raises NotSatisfiable.
    """
    found = ONE_RANGE.fullmatch(header)
    if found is None or not any(found.groups()):
        return None
    first, last = (int(digits) if digits else None for digits in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return _within(first, last, size_bytes)


def _within(first: int | None, last: int | None, size_bytes: int) -> Span:
    end = size_bytes - 1
    if first is None:
        # "-500" asks for the last 500 bytes.
        span = Span(max(0, size_bytes - (last or 0)), end)
    else:
        span = Span(first, end if last is None else min(last, end))
    if span.length_bytes < 1:
        raise NotSatisfiable
    return span


class Slice:
    """A file that begins and ends where `span` does. It owns the file it is cut from."""

    def __init__(self, file: IO[bytes], span: Span) -> None:
        file.seek(span.first)
        self._file = file
        self._left_bytes = span.length_bytes

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(self._left_bytes if size < 0 else min(size, self._left_bytes))
        self._left_bytes -= len(part)
        return part

    def close(self) -> None:
        self._file.close()
