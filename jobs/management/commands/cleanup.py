import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from jobs import kinds, readable, retention, trail
from jobs.leftovers import Leftover, find_leftovers
from jobs.models import TERMINAL, Job

# A publish writes the file some moments before its row; younger files than this could be in between.
MIN_AGE_MINUTES = 5
UNIT_SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}


@dataclass(slots=True)
class Tally:
    count: int = 0
    size_bytes: int = 0
    kept: int = 0
    names: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"count": self.count, "size_bytes": self.size_bytes, "kept": self.kept, "items": self.names}


class Command(BaseCommand):
    help = (
        "Remove files that no row names, half-written files, abandoned uploads and workspaces of jobs that are over; "
        "and, where an age or a number is given, ended jobs with their logs and files. Live jobs and LoRAs stay. "
        "Files that you put below the data directory's folders yourself (loras/ included) count as unnamed: look with "
        "--dry-run first."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
        parser.add_argument("--json", action="store_true", help="for machines")
        parser.add_argument(
            "--older-than-minutes",
            type=_minutes,
            default=60,
            metavar="N",
            help=f"of files, leave what was written since (%(default)s, at least {MIN_AGE_MINUTES})",
        )
        jobs = parser.add_argument_group("ended jobs")
        jobs.add_argument(
            "--older-than", type=_age, metavar="AGE", help="delete those that ended so long ago: 12h, 30d, 8w"
        )
        jobs.add_argument("--keep", type=_count, metavar="N", help="but not the newest of each kind, so many")
        jobs.add_argument("--kind", type=_words(kinds.names), help="of these kinds alone, separated by commas")
        jobs.add_argument("--status", type=_words(lambda: list(TERMINAL)), help="that ended so, separated by commas")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        jobs = Tally()
        for rule in _rules(options):
            self._expire(rule, options, jobs)
        before = timezone.now() - timedelta(minutes=options["older_than_minutes"])
        leftovers = Tally()
        for leftover in find_leftovers(before=before):
            self._remove(leftover, options, leftovers)
        if leftovers.count and not options["dry_run"]:
            what = f"{leftovers.count} leftovers ({readable.size(leftovers.size_bytes)})"
            trail.note(what, "Cleaned up: files that no row named.")
        self._sum_up(options, jobs, leftovers)

    def _expire(self, rule: retention.Rule, options: dict[str, Any], tally: Tally) -> None:
        for job_id in retention.find_expired(rule):
            size_bytes = retention.size_bytes(job_id)
            if not options["dry_run"] and not retention.expire(job_id):
                tally.kept += 1
                continue
            if not options["dry_run"]:
                trail.note_deletion(Job, job_id, f"Cleaned up, with files of {readable.size(size_bytes)}.")
            self._count(tally, options, name=job_id, size_bytes=size_bytes, why=f"an ended {rule.kind}")

    def _remove(self, leftover: Leftover, options: dict[str, Any], tally: Tally) -> None:
        """One that cannot be removed is named, and the others go."""
        try:
            if not options["dry_run"]:
                leftover.remove()
        except FileNotFoundError:
            pass
        except OSError as exc:
            self.stderr.write(f"{leftover.name} could not be removed: {exc}")
            tally.kept += 1
            return
        self._count(tally, options, name=leftover.name, size_bytes=leftover.size_bytes, why=leftover.why)

    def _count(self, tally: Tally, options: dict[str, Any], *, name: str, size_bytes: int, why: str) -> None:
        tally.count += 1
        tally.size_bytes += size_bytes
        if options["json"]:
            tally.names.append({"name": name, "size_bytes": size_bytes, "why": why})
        else:
            self.stdout.write(f"{readable.size(size_bytes):>9}  {name}  ({why})")

    def _sum_up(self, options: dict[str, Any], jobs: Tally, leftovers: Tally) -> None:
        if options["json"]:
            told = {"dry_run": options["dry_run"], "jobs": jobs.as_json(), "leftovers": leftovers.as_json()}
            self.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        else:
            for line in _sums(options, jobs, leftovers):
                self.stdout.write(line)
        if leftovers.kept:
            raise CommandError(f"{leftovers.kept} leftovers could not be removed.")


def _rules(options: dict[str, Any]) -> list[retention.Rule]:
    """Return nothing where neither an age nor a number was given: then no job goes."""
    if options["older_than"] is None and options["keep"] is None:
        if options["kind"] or options["status"]:
            raise CommandError("Say with --older-than or --keep which jobs go.")
        return []
    return [
        retention.Rule(
            kind=kind,
            statuses=tuple(options["status"] or TERMINAL),
            older_than=options["older_than"] or retention.MIN_AGE,
            keep=options["keep"] or 0,
        )
        for kind in options["kind"] or kinds.names()
    ]


def _sums(options: dict[str, Any], jobs: Tally, leftovers: Tally) -> Iterator[str]:
    done = "could be removed" if options["dry_run"] else "removed"
    if options["older_than"] is not None or options["keep"] is not None:
        yield f"{jobs.count} jobs ({readable.size(jobs.size_bytes)}) {done}."
    if jobs.kept:
        yield f"{jobs.kept} jobs stay: another one needs them, or they were deleted meanwhile."
    yield f"{leftovers.count} leftovers ({readable.size(leftovers.size_bytes)}) {done}."


def _minutes(text: str) -> int:
    minutes = int(text)
    if minutes < MIN_AGE_MINUTES:
        raise argparse.ArgumentTypeError(f"must be at least {MIN_AGE_MINUTES}")
    return minutes


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError("must be a number of hours, days or weeks, such as 12h, 30d or 8w")
    age = timedelta(seconds=int(found[1]) * UNIT_SECONDS[found[2]])
    if age < retention.MIN_AGE:
        raise argparse.ArgumentTypeError("must be at least 1h: how a job ended is still asked for")
    return age


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return count


def _words(allowed: Any) -> Any:
    def read(text: str) -> list[str]:
        words = [word.strip() for word in text.split(",")]
        unknown = sorted(set(words) - set(allowed()))
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(allowed())}")
        return words

    return read
