"""Runs the stand-in trainer as `python held_stand_in.py HOLD run.py JOBFILE`: no further than the file HOLD allows.

The file has a step, or what the trainer says on its console or in its row. Without the file it goes on.
"""

import builtins
import importlib
import sys
import time
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.005
REQUESTS = ("save_now", "sample_now")


def wait_after_words(hold: Path) -> None:
    row = importlib.import_module("trainer.job_row").JobRow
    say, set_status = builtins.print, row.set_status

    def print_and_wait(*words: object, **options: Any) -> None:
        say(*words, **options)
        wait(" ".join(map(str, words)).strip())

    def set_and_wait(self: Any, status: str, info: str) -> None:
        set_status(self, status, info)
        wait(info)

    def wait(text: str) -> None:
        while text and text == held_at(hold):
            time.sleep(POLL_SECONDS)

    builtins.print, row.set_status = print_and_wait, set_and_wait


def wait_after_steps(hold: Path) -> None:
    loop = importlib.import_module("trainer.loop").Loop
    answer_requests = loop._answer_requests

    def wait_and_answer(self: Any, bar: object) -> None:
        run = self._run
        run.row.set_value("step", run.step)
        while is_behind(run.step) and not is_asked(run.row):
            time.sleep(POLL_SECONDS)
        answer_requests(self, bar)

    def is_behind(step: int) -> bool:
        at = held_at(hold)
        return at.isdecimal() and step >= int(at)

    loop._answer_requests = wait_and_answer


def is_asked(row: Any) -> bool:
    """Whether it has something to do where it is; a training that is not watched has no such row."""
    return hasattr(row, "_is_set") and any(row._is_set(column) for column in REQUESTS)


def held_at(hold: Path) -> str:
    try:
        return hold.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    # As for a program that is started in its own folder.
    sys.path[0] = str(Path.cwd())
    wait_after_words(Path(sys.argv[0]))
    wait_after_steps(Path(sys.argv[0]))
    sys.argv = sys.argv[1:]
    importlib.import_module("trainer.cli").main()
