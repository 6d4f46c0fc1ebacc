"""Processes of a run outside of the supervisor's tree, and any that are left once the run is over."""

from collections.abc import Collection
from contextlib import suppress

import psutil

from tests.faults.harness.finding import Finding
from tests.faults.harness.witness import JOB_VARIABLE

DATA_DIR_VARIABLE = "ISENGARD_DATA_DIR"


def audit_processes(*, data_dir: str, jobs: Collection[str], expected: Collection[int]) -> list[Finding]:
    """`expected`: the processes that may be there. A trainer is known by its job, as it gets no settings."""
    findings = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            is_ours = environment.get(DATA_DIR_VARIABLE) == data_dir or environment.get(JOB_VARIABLE) in jobs
            if is_ours and process.pid not in expected and process.status() != psutil.STATUS_ZOMBIE:
                what = " ".join(process.cmdline())[:200]
                findings.append(Finding("orphan process", f"{process.pid} is still there: {what}"))
    return findings
