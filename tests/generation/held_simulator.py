"""Runs the stand-in for ComfyUI no further than a test allows.

`python -m tests.generation.held_simulator FOLDER --port ...`: FOLDER has what holds it. A file `steps` says how many
steps may be made since it is there, after which samplers wait; a file `decode`, `history` or `reply` lets wait what it
names. Each interruption of a running prompt is a line in `interruptions`.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from generation.engines.simulator import __main__ as simulator
from generation.engines.simulator import routes_prompts
from generation.engines.simulator.faults import Faults
from generation.engines.simulator.interruption import Interruption
from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.nodes import sampling
from generation.engines.simulator.worker import Worker

POLL_SECONDS = 0.005
WAITING = {"slow-decode": "decode", "late-history": "history"}


class StepHold:
    """Counts anew with each hold, which a name in the file tells from the one before."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._made = 0
        self._name = ""

    def wait(self, interruption: Interruption) -> None:
        name, _ = self._read()
        self._made = self._made + 1 if name == self._name else 1
        self._name = name
        while self._is_held():
            interruption.check()
            time.sleep(POLL_SECONDS)

    def _is_held(self) -> bool:
        name, steps = self._read()
        return name == self._name and self._made >= steps

    def _read(self) -> tuple[str, float]:
        try:
            name, steps = self._file.read_text().split()
        except FileNotFoundError:
            return "", float("inf")
        return name, int(steps)


def wait_after_steps(file: Path) -> None:
    step_through, hold = sampling._step_through, StepHold(file)

    def held(context: NodeContext, recipe: sampling.Recipe) -> None:
        def report(step: int, steps: int, paint: Callable[[], bytes]) -> None:
            context.report_step(step, steps, paint)
            hold.wait(context.interruption)

        step_through(replace(context, report_step=report), recipe)

    sampling._step_through = held


def wait_in_the_worker(folder: Path) -> None:
    seconds = Faults.seconds

    def held(faults: Faults, name: str) -> float:
        while name in WAITING and (folder / WAITING[name]).exists():
            time.sleep(POLL_SECONDS)
        return seconds(faults, name)

    Faults.seconds = held


def wait_before_replies(file: Path) -> None:
    async def held(seconds: float) -> None:
        while file.exists():
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(seconds)

    routes_prompts.asyncio = SimpleNamespace(sleep=held)


def note_interruptions(file: Path) -> None:
    interrupt = Worker.interrupt

    def noted(worker: Worker, prompt_id: str | None) -> None:
        interrupt(worker, prompt_id)
        current = worker._current
        if current and prompt_id in (None, current[0].prompt_id):
            with file.open("a") as lines:
                lines.write(f"{current[0].prompt_id}\n")

    Worker.interrupt = noted


if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    wait_after_steps(folder / "steps")
    wait_in_the_worker(folder)
    wait_before_replies(folder / "reply")
    note_interruptions(folder / "interruptions")
    simulator.main()
