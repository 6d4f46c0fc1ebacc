import argparse
import math
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from jobs import draining, kinds, trail
from jobs.management.slot_choice import add_slot_choice, chosen_slots
from jobs.models import Job, Slot, Status
from jobs.patience import patiently

POLL_SECONDS = 0.5
REPORT_SECONDS = 15.0
DEFAULT_WAIT_SECONDS = 300
RESUME = "`manage.py resume` lets them take work again"


class Command(BaseCommand):
    help = (
        "Empty slots for maintenance: they start nothing more, what runs there is saved and goes back to the queue. "
        "Waits until they are empty; ends with 1 if something is still at work then."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_slot_choice(parser)
        parser.add_argument("--finish", action="store_true", help="let what runs come to its end by itself")
        parser.add_argument(
            "--wait",
            type=_seconds,
            default=DEFAULT_WAIT_SECONDS,
            metavar="SECONDS",
            help="how long to wait until they are empty (%(default)s; 0: not at all)",
        )

    def handle(self, *_arguments: Any, **options: Any) -> None:
        names = chosen_slots(options)
        draining.drain(names, lets_finish=options["finish"])
        leave = "comes to its end" if options["finish"] else "is saved and goes back to the queue"
        trail.note_change(Slot.objects.filter(pk__in=names), f"Drained: what runs here {leave}.")
        self.stdout.write(f"Drained: {', '.join(names)}.")
        try:
            remaining = self._wait_until_empty(names, options["wait"])
        except KeyboardInterrupt:
            raise CommandError(f"No longer waiting. The slots stay drained: {RESUME}.") from None
        if remaining:
            raise CommandError(f"Still at work: {_in_words(remaining)}. The slots stay drained: {RESUME}.")
        self.stdout.write(f"Nothing is at work there: {RESUME}.")

    def _wait_until_empty(self, names: list[str], seconds: float) -> list[Job]:
        """Return what is at work when the time is over."""
        deadline = time.monotonic() + seconds
        told: list[str] = []
        told_at = -math.inf
        while remaining := patiently(lambda: list(draining.at_work(names))):
            ids = [job.pk for job in remaining]
            if ids != told or time.monotonic() - told_at >= REPORT_SECONDS:
                told, told_at = ids, time.monotonic()
                self.stdout.write(f"At work: {_in_words(remaining)}")
                self.stdout.flush()
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_SECONDS)
        return remaining


def _in_words(jobs: list[Job]) -> str:
    return "; ".join(f"{job.pk} on {job.slot} ({_state(job)})" for job in jobs)


def _state(job: Job) -> str:
    if job.is_terminal:
        return "its engine is stopping"
    if job.status != Status.RUNNING:
        return "in its engine's queue"
    return f"{kinds.get(job.kind).doing}, {job.progress} %"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds from 0 on")
    return seconds
