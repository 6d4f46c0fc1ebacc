from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand

from jobs import kinds, queue, readable
from jobs.models import Job
from jobs.overview import QueueOverview, queue_overviews

HEADINGS = ("KIND", "STATE", "WAITING", "OLDEST", "IN ENGINE", "RUNNING", "STOPPING", "SLOTS")


class Command(BaseCommand):
    help = "See what waits and who works, and pause or resume a kind of job. Pausing lets running jobs go on."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        status = actions.add_parser("status", help="each kind's queue, slots and GPUs")
        status.add_argument("--json", action="store_true", help="for machines")
        for action, words in (("pause", "start no more jobs of a kind"), ("resume", "start them again")):
            actions.add_parser(action, help=words).add_argument("kind", choices=kinds.names())

    def handle(self, *_arguments: Any, **options: Any) -> None:
        if options["action"] == "status":
            self._status(is_json=options["json"])
        else:
            self._set_paused(options["kind"], is_paused=options["action"] == "pause")

    def _status(self, *, is_json: bool) -> None:
        overviews = queue_overviews()
        if is_json:
            described = [asdict(overview) for overview in overviews]
            self.stdout.write(orjson.dumps(described, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())
            return
        self.stdout.write(readable.table(HEADINGS, [_row(overview) for overview in overviews]))
        for line in _details(overviews):
            self.stdout.write(line)

    def _set_paused(self, kind: str, *, is_paused: bool) -> None:
        queue.set_paused(kind, is_paused=is_paused)
        waiting = Job.objects.waiting(kind).count()
        done = "paused: no more jobs start; those that run go on" if is_paused else "open again"
        self.stdout.write(f"The queue of {kind} is {done}. {waiting} waiting.")


def _row(overview: QueueOverview) -> tuple[object, ...]:
    return (
        overview.kind,
        "paused" if overview.is_paused else "open",
        overview.waiting,
        readable.age(overview.oldest_waiting_at),
        overview.claimed,
        overview.running,
        overview.stopping,
        f"{len(overview.served_slots)} served, {len(overview.silent_slots)} silent",
    )


def _details(overviews: list[QueueOverview]) -> list[str]:
    silent = [f"Silent: {slot} (its worker has not been heard of)" for each in overviews for slot in each.silent_slots]
    held = [
        f"{holding.gpu}: held by {holding.job_id} ({holding.status})" for each in overviews for holding in each.holdings
    ]
    return silent + held
