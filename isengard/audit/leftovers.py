"""Files that nobody will miss, as `cleanup` finds them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache, partial

from django.utils import timezone

from isengard.audit.finding import Finding
from jobs import readable
from jobs.leftovers import Leftover, find_leftovers, find_safe_leftovers

# A publish writes the file some moments before its row, and an upload may take its time.
OLD = timedelta(hours=1)


def check_leftovers() -> Iterator[Finding]:
    before = timezone.now() - OLD
    safe = {leftover.name for leftover in find_safe_leftovers(before=before, half_written_before=before)}

    @cache
    def second_look() -> set[str]:
        """Look again for all of them together, when the first of them is asked about."""
        return {leftover.name for leftover in _files(before)}

    def is_still_left(name: str) -> bool:
        return name in second_look()

    for leftover in _files(before):
        yield Finding(
            code="leftover",
            subject=leftover.name,
            text=f"It is left over ({readable.size(leftover.size_bytes)}): {leftover.why}.",
            advice="Look at `manage.py cleanup --dry-run`, then run it without that.",
            is_still_so=partial(is_still_left, leftover.name),
            # The rest would be all there is, for a database that knows nothing of it: the wrong one, or an old copy.
            repair=leftover.remove if leftover.name in safe else None,
        )


def _files(before: datetime) -> Iterator[Leftover]:
    return (leftover for leftover in find_leftovers(before=before) if not leftover.has_row)
