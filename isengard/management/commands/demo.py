import argparse
import logging
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from isengard import demo
from jobs import trail

# What the audit trail calls it.
NAME = "demo"
MAX_JOBS, MAX_CHARACTERS = 2000, 60


class Command(BaseCommand):
    help = (
        "Fill an empty installation with a believable month of work: characters with photos and LoRAs, trainings and "
        "generations that went well or not. Some wait for a start time that is 25 to 29 days away; left until then, "
        "they really run. --remove takes the demo away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--jobs", type=_up_to(MAX_JOBS), default=200, help=f"how many; 200, at most {MAX_JOBS}")
        parser.add_argument(
            "--characters", type=_up_to(MAX_CHARACTERS), default=6, help=f"how many; 6, at most {MAX_CHARACTERS}"
        )
        parser.add_argument("--force", action="store_true", help="beside the characters and jobs that are here")
        parser.add_argument("--remove", action="store_true", help="take the demo away, and nothing else")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        # What the parts say of each row is of no interest for so many.
        logging.getLogger("jobs").setLevel(logging.WARNING)
        logging.getLogger("characters").setLevel(logging.WARNING)
        if options["remove"]:
            self._remove()
        else:
            self._fill(options)

    def _fill(self, options: dict[str, Any]) -> None:
        began = time.monotonic()
        try:
            demo.fill(jobs=options["jobs"], characters=options["characters"], is_forced=options["force"])
        except demo.DemoRefused as exc:
            raise CommandError(str(exc)) from exc
        trail.note(NAME, f"Filled in: {options['characters']} characters and {options['jobs']} jobs.")
        seconds = time.monotonic() - began
        self.stdout.write(
            f"{options['characters']} characters and {options['jobs']} jobs in {seconds:.0f} s. Look at /admin/. "
            "`manage.py demo --remove` takes them away again."
        )

    def _remove(self) -> None:
        removed = demo.remove()
        trail.note(NAME, f"Taken away: {removed.characters} characters and {removed.jobs} jobs.")
        self.stdout.write(f"{removed.characters} characters and {removed.jobs} jobs were taken away.")
        if removed.kept:
            raise CommandError(
                f"Engines are at work on {', '.join(removed.kept)}: they were cancelled. Run this again in a moment."
            )


def _up_to(most: int) -> Any:
    def parse(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}")
        return int(text)

    return parse
