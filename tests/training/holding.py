"""A stand-in trainer that waits where a test wants it, so that none is too late for what it has to see or do."""

import sys
from pathlib import Path

_PROGRAM = Path(__file__).with_name("held_stand_in.py")


class Hold:
    """Let the trainer that `python` runs go no further than a step, or what it says on its console or in its row.

    At a step it still answers requests to save or to sample, then makes one step more.
    """

    def __init__(self, folder: Path, at: int | str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "hold"
        self.at(at)
        # What stands between an interpreter and the trainer's own arguments.
        self.options = f'"{_PROGRAM}" "{self._file}"'
        self.python = str(folder / "held-python")
        Path(self.python).write_text(f'#!/bin/sh\nexec "{sys.executable}" {self.options} "$@"\n')
        Path(self.python).chmod(0o755)

    def at(self, where: int | str) -> None:
        """Move on: the trainer goes as far as this."""
        fresh = self._file.with_name("hold.new")
        fresh.write_text(str(where), encoding="utf-8")
        fresh.replace(self._file)

    def let_go(self) -> None:
        self._file.unlink(missing_ok=True)
