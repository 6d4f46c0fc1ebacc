"""What the supervisor and its processes say, line by line, each with the name of who says it."""

import contextlib
import os
from collections.abc import Sequence

OWN_NAME = "isengard"
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
LONGEST_LINE_BYTES = 64 * 1024


class Console:
    """Writes to a file descriptor: unbuffered, so that nothing is lost in a crash, and in colour on a terminal."""

    def __init__(self, descriptor: int, names: Sequence[str]) -> None:
        self._descriptor = descriptor
        width = max(len(name) for name in (OWN_NAME, *names))
        self._prefixes = {OWN_NAME: f"{OWN_NAME:<{width}} | ".encode()}
        for number, name in enumerate(names):
            prefix = f"{name:<{width}} | "
            if os.isatty(descriptor):
                prefix = f"\x1b[{COLOURS[number % len(COLOURS)]}m{prefix}\x1b[0m"
            self._prefixes[name] = prefix.encode()

    def say(self, text: str) -> None:
        self.write(OWN_NAME, text.encode(errors="replace"))

    def write(self, name: str, line: bytes) -> None:
        rest = self._prefixes[name] + line + b"\n"
        # A terminal that was closed, or a reader that went away, is no reason to end what runs.
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


class LineSplitter:
    """Makes whole lines of what arrives in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            lines.append(self.flush())
        return [line.rstrip(b"\r") for line in lines]

    def flush(self) -> bytes:
        """Return the line that was begun and never ended; empty when there is none."""
        rest, self._rest = self._rest, b""
        return rest
