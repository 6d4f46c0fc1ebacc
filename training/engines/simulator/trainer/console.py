"""Progress bars on stderr, character for character as tqdm draws them into a file."""

import atexit
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

CELLS = 10
PARTIAL_BLOCKS = " ▏▎▍▌▋▊▉█"
REPAINT_SECONDS = 0.1
CURSOR_UP = "\x1b[A"


class Bar:
    """A bar under another one is `is_nested`: it is drawn one line lower and vanishes at its end."""

    def __init__(self, label: str, total: int, *, done: int = 0, is_nested: bool = False, is_kept: bool = True) -> None:
        self._label, self._total, self._initial, self._is_nested = label, total, done, is_nested
        self._is_kept = is_kept
        self.done = done
        self._postfix = ""
        self._rate: float | None = None
        self._painted_width = 0
        self._painted_done = done
        self._started_at = self._painted_at = time.monotonic()
        self._is_open = True
        # tqdm draws a bar that an error left open once more when the interpreter ends, below the traceback.
        atexit.register(self.close)
        self._paint()

    def set_postfix(self, text: str) -> None:
        self._postfix = f", {text}"
        self._paint()

    def advance_to(self, done: int) -> None:
        """Move on; the new position is drawn only when the last one has stood for a while."""
        self.done = done
        now = time.monotonic()
        if now - self._painted_at < REPAINT_SECONDS:
            return
        self._rate = (done - self._painted_done) / (now - self._painted_at)
        self._painted_done, self._painted_at = done, now
        self._paint()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what is done meanwhile out of the elapsed time."""
        paused_at = time.monotonic()
        yield
        self._painted_at = time.monotonic()
        self._started_at += self._painted_at - paused_at

    def close(self) -> None:
        """Draw the bar a last time with its mean speed, or wipe it. A second call does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        atexit.unregister(self.close)
        self._rate = None
        if self._is_kept:
            self._paint()
            self._write("\n")
        else:
            self._draw("")
            self._write("" if self._is_nested else "\r")

    def _paint(self) -> None:
        self._draw(f"{self._label}: {self._text()}" if self._label else self._text())

    def _draw(self, text: str) -> None:
        line = "\r" + text.ljust(self._painted_width)
        self._painted_width = len(text)
        self._write(f"\n{line}{CURSOR_UP}" if self._is_nested else line)

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    def _text(self) -> str:
        elapsed_seconds = time.monotonic() - self._started_at
        rate = self._rate or (self.done - self._initial) / max(elapsed_seconds, 1e-9)
        speed = _speed(rate)
        if not self._total or self.done > self._total:
            return f"{self.done}it [{_clock(elapsed_seconds)}, {speed}{self._postfix}]"
        left = _clock((self._total - self.done) / rate) if rate else "?"
        counts = f"{self.done}/{self._total} [{_clock(elapsed_seconds)}<{left}, {speed}{self._postfix}]"
        fraction = self.done / self._total
        return f"{fraction * 100:3.0f}%|{_blocks(fraction)}| {counts}"


def shown(items: Iterable[Item], label: str, *, total: int) -> Iterator[Item]:
    """Draw a bar while the items are gone through."""
    bar = Bar(label, total)
    for done, item in enumerate(items, start=1):
        yield item
        bar.advance_to(done)
    bar.close()


def _blocks(fraction: float) -> str:
    whole, rest = divmod(int(fraction * CELLS * 8), 8)
    partial = PARTIAL_BLOCKS[rest] if whole < CELLS else ""
    return ("█" * whole + partial).ljust(CELLS)


def _speed(steps_per_second: float) -> str:
    if not steps_per_second:
        return "?it/s"
    if steps_per_second < 1:
        return f"{1 / steps_per_second:5.2f}s/it"
    return f"{steps_per_second:5.2f}it/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(math.floor(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:d}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
