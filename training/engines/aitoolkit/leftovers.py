"""Trainers that outlived their worker, found by process number and start time or by the mark in their environment."""

import os
import time
from collections.abc import Iterator, Mapping

import psutil

from training.engines.aitoolkit.process import ATTEMPT_MARKER, JOB_MARKER
from training.engines.aitoolkit.process_group import has_members, kill_group, start_time_of

_KILL_SECONDS = 10.0
# The start time is counted from the boot, whose moment moves with every correction of the clock.
_START_TOLERANCE_SECONDS = 2.0


def stop_leftover(identity: Mapping[str, object]) -> bool:
    """Kill what is left of the trainer that `Holding.identity` names; return whether all of it is gone.

    Only for the machine it ran on. A later attempt at the same job is spared.
    """
    is_gone = not _is_same_process(identity) or kill_group(int(str(identity["pid"])), seconds=_KILL_SECONDS)
    return stop_attempts(str(identity["job"]), int(str(identity["attempt"]))) and is_gone


def is_running(identity: Mapping[str, object]) -> bool:
    """Whether anything of the trainer that `Holding.identity` names is alive on this machine."""
    if _is_same_process(identity) and has_members(int(str(identity["pid"]))):
        return True
    return any(_marked_groups(str(identity["job"]), int(str(identity["attempt"]))))


def stop_attempts(job: str, up_to: int) -> bool:
    """Kill whatever belongs to these attempts at a job, sessions of their own and all; return whether it is gone.

    Two trainers in one folder would ruin each other's files.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    # Looked for again until nothing is found: a process that is being killed may just have started another.
    while groups := set(_marked_groups(job, up_to)):
        for group in groups:
            kill_group(group, seconds=max(0.0, deadline - time.monotonic()))
        if time.monotonic() >= deadline:
            return False
    return True


def _is_same_process(identity: Mapping[str, object]) -> bool:
    if "start_time" not in identity:
        return False
    try:
        started = start_time_of(int(str(identity["pid"])))
    except psutil.NoSuchProcess:
        return False
    return abs(started - float(str(identity["start_time"]))) < _START_TOLERANCE_SECONDS


def _marked_groups(job: str, attempt: int) -> Iterator[int]:
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            group = os.getpgid(process.pid)
        except (psutil.Error, ProcessLookupError, OSError):
            continue
        if _is_marked(environment, job, attempt) and group != os.getpgid(0):
            yield group


def _is_marked(environment: Mapping[str, str], job: str, attempt: int) -> bool:
    mark = environment.get(ATTEMPT_MARKER, "")
    return environment.get(JOB_MARKER) == job and mark.isdecimal() and int(mark) <= attempt
