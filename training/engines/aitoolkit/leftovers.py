"""Trainers that outlived their worker, found by process number and start time or by the mark in their environment."""

import os
from collections.abc import Iterable, Iterator, Mapping

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
    job, attempt = str(identity["job"]), int(str(identity["attempt"]))
    groups = set(_marked_groups(job, attempt))
    if _is_same_process(identity):
        groups.add(int(str(identity["pid"])))
    return _kill_all(groups)


def is_running(identity: Mapping[str, object]) -> bool:
    """Whether anything of the trainer that `Holding.identity` names is alive on this machine."""
    if _is_same_process(identity) and has_members(int(str(identity["pid"]))):
        return True
    return any(_marked_groups(str(identity["job"]), int(str(identity["attempt"]))))


def stop_earlier_attempts(job: str, attempt: int) -> bool:
    """Kill trainers of this job that were started up to `attempt`: two in one folder would ruin each other's files."""
    return _kill_all(set(_marked_groups(job, attempt)))


def _kill_all(groups: Iterable[int]) -> bool:
    outcomes = [kill_group(group, seconds=_KILL_SECONDS) for group in groups]
    return all(outcomes)


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
