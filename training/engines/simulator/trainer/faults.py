"""Failures that a test can ask for, so that whoever drives the trainer can be shown every way it may end."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

GRANDCHILD_SECONDS = 300
IDLE_SECONDS = 0.05

_PLAIN = (
    "oom-load",
    "oom-sample",
    "hang-load",
    "ignore-sigint",
    "ignore-sigterm",
    "no-final",
    "wrong-step",
    "missing-dependency",
    "grandchild",
    "daemon",
)
_AT_STEP = ("crash", "crash-once", "hang", "nan", "truncate-checkpoint", "disk-full")
_ARGUMENTS = {
    **dict.fromkeys(_PLAIN, ""),
    **dict.fromkeys(_AT_STEP, r"@(?P<step>\d+)"),
    "exit": r"@(?P<step>\d+):(?P<amount>\d{1,3})",
    "oom": r"@(?P<step>\d+)(?:x(?P<amount>\d+))?",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`step` counts the optimizer steps done before it strikes; `amount` is an exit code or a number of batches."""

    step: int = 0
    amount: int = 1


class Faults:
    def __init__(self, faults: Mapping[str, Fault]) -> None:
        self._faults = faults

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Read a comma-separated list such as `oom@25x4,grandchild`. Raise ValueError at the first unknown one."""
        return cls(dict(_parse_fault(item.strip()) for item in text.split(",") if item.strip()))

    def __contains__(self, name: str) -> bool:
        return name in self._faults

    def strikes(self, name: str, step: int) -> bool:
        """Tell whether the fault hits exactly this step (for `oom`: this step or one of the batches after it)."""
        fault = self._faults.get(name)
        batches = fault.amount if fault and name == "oom" else 1
        return fault is not None and fault.step <= step < fault.step + batches

    def has_struck(self, name: str, step: int) -> bool:
        """Tell whether the fault lasts at this step."""
        fault = self._faults.get(name)
        return fault is not None and step >= fault.step

    def amount(self, name: str) -> int:
        return self._faults[name].amount


def _parse_fault(item: str) -> tuple[str, Fault]:
    name = re.split("[@:]", item, maxsplit=1)[0]
    arguments = _ARGUMENTS.get(name)
    match = re.fullmatch(arguments, item[len(name) :]) if arguments is not None else None
    if match is None:
        raise ValueError(f"unknown fault {item!r}")
    return name, Fault(**{key: int(value) for key, value in match.groupdict().items() if value is not None})


def die() -> NoReturn:
    """End as if the kernel had killed the process: nothing is flushed, nothing is written."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(1)


def hang() -> NoReturn:
    """Stay alive without getting on, deaf to SIGINT as a process stuck in a GPU kernel is."""
    ignore_interrupts()
    while True:
        time.sleep(IDLE_SECONDS)


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ignore_terminations() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def leave_grandchild() -> None:
    """Start a process that stays in the group and holds the output open, as a data loader's workers do."""
    subprocess.Popen(["sleep", str(GRANDCHILD_SECONDS)])


def leave_daemon() -> None:
    """Start a process in a session of its own, which no signal to the group reaches."""
    subprocess.Popen(["sleep", str(GRANDCHILD_SECONDS)], start_new_session=True)
