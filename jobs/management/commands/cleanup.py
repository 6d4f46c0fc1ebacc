import argparse
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from jobs import readable
from jobs.leftovers import Leftover, find_leftovers

# A publish writes the file some moments before its row; younger files than this could be in between.
MIN_AGE_MINUTES = 5


class Command(BaseCommand):
    help = (
        "Remove files that no row names, half-written files, abandoned uploads and workspaces of jobs that are over. "
        "Files of live jobs stay. Files that you put below the data directory's folders yourself (loras/ included) "
        "count as unnamed: look with --dry-run first."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
        parser.add_argument(
            "--older-than-minutes",
            type=_minutes,
            default=60,
            metavar="N",
            help=f"leave what was written since (%(default)s, at least {MIN_AGE_MINUTES})",
        )

    def handle(self, *_arguments: Any, **options: Any) -> None:
        before = timezone.now() - timedelta(minutes=options["older_than_minutes"])
        count, count_bytes, failures = 0, 0, 0
        for leftover in find_leftovers(before=before):
            if not options["dry_run"] and not self._remove(leftover):
                failures += 1
                continue
            self.stdout.write(f"{readable.size(leftover.size_bytes):>9}  {leftover.name}  ({leftover.why})")
            count, count_bytes = count + 1, count_bytes + leftover.size_bytes
        done = "could be removed" if options["dry_run"] else "removed"
        self.stdout.write(f"{count} leftovers ({readable.size(count_bytes)}) {done}.")
        if failures:
            raise CommandError(f"{failures} leftovers could not be removed.")

    def _remove(self, leftover: Leftover) -> bool:
        """Return whether it is gone. One that stays is named, and the others go."""
        try:
            leftover.remove()
        except FileNotFoundError:
            return True
        except OSError as exc:
            self.stderr.write(f"{leftover.name} could not be removed: {exc}")
            return False
        return True


def _minutes(text: str) -> int:
    minutes = int(text)
    if minutes < MIN_AGE_MINUTES:
        raise argparse.ArgumentTypeError(f"must be at least {MIN_AGE_MINUTES}")
    return minutes
