"""What ai-toolkit prints, as lines for the job's log: prints and progress bars interleaved in one file."""

import codecs
import re
from collections import deque
from pathlib import Path

from jobs.events import Log, LogLevel
from training.engines.aitoolkit.secrecy import without_secrets

BAR_INTERVAL_SECONDS = 10.0
_TAIL_LINES = 80
_LINE_CHARACTERS = 2000
# At its start the trainer prints its job file, indented, between these two. It is kept as a file of its own.
_DUMP_BEGINS, _DUMP_ENDS = "{", "}"
_DUMP_LINES = 500
_READ_BYTES = 256 * 1024
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# A bar ends at the bracket after its times. What follows on the same line is not part of it: a traceback is printed
# right behind the last repaint.
_BAR = re.compile(r"(?P<bar>[^\n]*?\d+%\|[^|\n]*\|[^\[\n]*\[[^\]\n]*\])(?P<rest>[^\n]*)")
_TIMINGS = re.compile(r"Timer '.*':| - \d+\.\d+s avg - .*")
_ERROR = re.compile(r"Error running job: |Traceback \(most recent call last\)|[\w.]+(Error|Exception|Interrupt)\b: ")
_WARNING = re.compile(r"\bwarn(ing)?\b", re.IGNORECASE)


class Console:
    """Turns bytes as they come into Log events. Of a bar's repaints one is kept in ten seconds."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""
        self._last_bar_at: float | None = None
        self._dump_lines: int | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    @property
    def tail(self) -> list[str]:
        """The last lines without the bars, oldest first."""
        return list(self._tail)

    def feed(self, chunk: bytes, *, now: float) -> list[Log]:
        """`now` is in seconds of any clock that does not go back."""
        text = self._pending + self._decoder.decode(chunk)
        *complete, self._pending = re.split(r"[\r\n]", text)
        if len(self._pending) > _LINE_CHARACTERS:
            complete.append(self._pending)
            self._pending = ""
        return [log for segment in complete for log in self._read(segment, now)]

    def finish(self, *, now: float) -> list[Log]:
        """Take what stands without an end of line, when nothing more will come."""
        return self.feed(b"\n", now=now)

    def _read(self, segment: str, now: float) -> list[Log]:
        text = without_secrets(_ESCAPES.sub("", segment[: 2 * _LINE_CHARACTERS])).rstrip()
        match = _BAR.fullmatch(text)
        if match is None:
            return self._line(text)
        return [*self._bar(match["bar"].strip(), now), *self._line(match["rest"])]

    def _bar(self, text: str, now: float) -> list[Log]:
        if self._last_bar_at is not None and now - self._last_bar_at < BAR_INTERVAL_SECONDS:
            return []
        self._last_bar_at = now
        return [Log(message=text[:_LINE_CHARACTERS])]

    def _line(self, text: str) -> list[Log]:
        if not text.strip() or _TIMINGS.fullmatch(text) or self._is_dumped(text):
            return []
        line = text[:_LINE_CHARACTERS]
        self._tail.append(line)
        return [Log(message=line, level=_level(line))]

    def _is_dumped(self, text: str) -> bool:
        if self._dump_lines is None:
            self._dump_lines = 0 if text == _DUMP_BEGINS else None
            return text == _DUMP_BEGINS
        self._dump_lines += 1
        if text == _DUMP_ENDS or self._dump_lines >= _DUMP_LINES:
            self._dump_lines = None
        # An indent: what is printed in between by others is not part of it.
        return text == _DUMP_ENDS or text.startswith(" ")


class ConsoleFile:
    """Follows the file that the trainer prints into.

    A file rather than a pipe: a full or broken pipe would stall or kill a trainer whose worker is busy or gone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._console = Console()

    @property
    def tail(self) -> list[str]:
        return self._console.tail

    @property
    def size_read(self) -> int:
        return self._offset

    def read(self, *, now: float) -> list[Log]:
        """Return the next lines, a bounded number of them."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            chunk = file.read(_READ_BYTES)
        self._offset += len(chunk)
        return self._console.feed(chunk, now=now)

    def read_rest(self, *, now: float) -> list[Log]:
        logs = []
        while self._offset < self._path.stat().st_size:
            logs += self.read(now=now)
        return logs + self._console.finish(now=now)


def _level(line: str) -> LogLevel:
    if _ERROR.match(line):
        return "ERROR"
    return "WARNING" if _WARNING.search(line) else "INFO"
