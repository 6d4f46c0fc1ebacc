"""A stand-in for ComfyUI that waits where a test wants it, so that none is too late for what it has to see or do."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Point = Literal["decode", "history", "reply"]
"""A decode, the writing of the history after a prompt's end, and the answer to whoever handed a prompt in."""


class Hold:
    """Holds the stand-in that `command` runs, for as long as a block runs. A held sampler can be interrupted."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = ""
        self.steps = 0
        self.command = [sys.executable, "-m", "tests.generation.held_simulator", str(folder)]

    @contextmanager
    def after_steps(self, steps: int = 1) -> Iterator[None]:
        """Let samplers wait when they have made and told so many steps, all of them together."""
        self._name = uuid.uuid4().hex
        self.go_on_to(steps)
        try:
            yield
        finally:
            (self._folder / "steps").unlink()

    def go_on_to(self, steps: int) -> None:
        """Allow more steps, counted from the beginning of the block."""
        self.steps = steps
        fresh = self._folder / "steps.new"
        fresh.write_text(f"{self._name} {steps}")
        fresh.replace(self._folder / "steps")

    @contextmanager
    def before(self, point: Point) -> Iterator[None]:
        file = self._folder / point
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    @property
    def interruptions(self) -> int:
        """How often a running prompt was asked to stop since the stand-in was made."""
        file = self._folder / "interruptions"
        return len(file.read_text().splitlines()) if file.exists() else 0
