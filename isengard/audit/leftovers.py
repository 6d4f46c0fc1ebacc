"""Files that nobody will miss, as `cleanup` finds them."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.core.files.storage import default_storage
from django.utils import timezone

from isengard.audit.finding import Finding
from jobs import readable
from jobs.leftovers import Leftover, find_leftovers

# A publish writes the file some moments before its row, and an upload may take its time.
OLD = timedelta(hours=1)


def check_leftovers() -> Iterator[Finding]:
    for leftover in find_leftovers(before=timezone.now() - OLD):
        yield Finding(
            code="leftover",
            subject=leftover.name,
            text=f"It is left over ({readable.size(leftover.size_bytes)}): {leftover.why}.",
            advice="Look at `manage.py cleanup --dry-run`, then run it without that.",
            is_still_so=partial(_is_there, leftover),
            repair=leftover.remove,
        )


def _is_there(leftover: Leftover) -> bool:
    if leftover.name.startswith("/"):
        return Path(leftover.name).exists()
    return default_storage.exists(leftover.name)
