"""Processes of a run outside of the supervisor's tree, engines still at work at rest, and all that outlives the run."""

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

import psutil
import requests

from tests.faults.harness.finding import Finding
from tests.faults.harness.witness import JOB_VARIABLE

DATA_DIR_VARIABLE = "ISENGARD_DATA_DIR"
# For a server to come back that was killed last, and between two looks at it: two looks are not one moment.
ANSWER_SECONDS = 30.0
PAUSE_SECONDS = 1.0
STRAY_SECONDS = 30.0


def audit_processes(*, data_dir: str, jobs: Collection[str], expected: Collection[int]) -> list[Finding]:
    """`expected`: the processes of Isengard that may be there. An engine is known by its job, and never may: this is
    for when nothing is left to do."""
    findings = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            is_engine = environment.get(JOB_VARIABLE) in jobs
            is_stray = environment.get(DATA_DIR_VARIABLE) == data_dir and process.pid not in expected
            if (is_engine or is_stray) and process.status() != psutil.STATUS_ZOMBIE:
                what = " ".join(process.cmdline())[:200]
                findings.append(Finding("orphan process", f"{process.pid} is still there: {what}"))
    return findings


def lasting(look: Callable[[], list[Finding]], *, seconds: float = STRAY_SECONDS) -> list[Finding]:
    """Look again for a while: what is on its way out is no finding, nor is what was started between two looks."""
    until = time.monotonic() + seconds
    while (findings := look()) and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
    return findings


def audit_queues(urls: Iterable[str]) -> list[Finding]:
    """Look whether the ComfyUI servers are empty, when nothing is left to do."""
    return [finding for url in urls for finding in _audit_queue(url)]


def _audit_queue(url: str) -> list[Finding]:
    first = _prompts(url)
    if first is None:
        return [Finding("stuck", f"{url} does not answer")]
    if not first:
        return []
    time.sleep(PAUSE_SECONDS)
    left = sorted(first & (_prompts(url) or set()))
    return [Finding("orphan process", f"{url} still has the prompt {prompt}") for prompt in left]


def _prompts(url: str) -> set[str] | None:
    """Return what waits and runs there; None without an answer."""
    until = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < until:
        with suppress(requests.RequestException, ValueError):
            queue = requests.get(f"{url}/queue", timeout=5).json()
            return {str(item[1]) for item in [*queue["queue_running"], *queue["queue_pending"]]}
        time.sleep(PAUSE_SECONDS)
    return None
