"""Which checks there are. What is found is looked at again a moment later: only what stays so is wrong."""

import time
from collections.abc import Callable, Iterator

from isengard.audit import attempts, database, jobs_at_work, leftovers, loras, results, stored
from isengard.audit.finding import Finding

# Longer than anything takes between a row and its file, in either order.
CONFIRM_SECONDS = 2.0

CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    database.check_references,
    stored.check_named_files,
    stored.check_folders,
    leftovers.check_leftovers,
    jobs_at_work.check_jobs,
    attempts.check_attempts,
    results.check_results,
    loras.check_versions,
)
DEEP_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    database.check_pages,
    stored.check_contents,
    loras.check_inside,
)


def examine(*, is_deep: bool = False) -> Iterator[Finding]:
    """Yield what is wrong. A deep look reads every file from beginning to end."""
    suspects = [finding for check in (*CHECKS, *(DEEP_CHECKS if is_deep else ())) for finding in check()]
    if suspects:
        time.sleep(CONFIRM_SECONDS)
    yield from (finding for finding in suspects if finding.is_still_so())
