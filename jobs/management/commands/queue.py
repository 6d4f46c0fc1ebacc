from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from jobs import kinds, ordering, queue, readable, trail
from jobs.models import Job, QueueState
from jobs.overview import QueueOverview, queue_overviews

ORDERINGS = {
    "prioritise": "give waiting jobs a priority",
    "front": "let waiting jobs start before all others of their kind, in this order",
    "back": "let waiting jobs start after all others of their kind, in this order",
}
DONE = {"prioritise": "Given a priority", "front": "Moved to the front", "back": "Moved to the back"}
HEADINGS = ("KIND", "STATE", "WAITING", "OLDEST", "IN ENGINE", "RUNNING", "STOPPING", "SLOTS")


class Command(BaseCommand):
    help = (
        "See what waits and who works, change the order of what waits, and pause or resume a kind of job. "
        "Pausing lets running jobs go on."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        status = actions.add_parser("status", help="each kind's queue, slots and GPUs")
        status.add_argument("--json", action="store_true", help="for machines")
        for action, words in (("pause", "start no more jobs of a kind"), ("resume", "start them again")):
            actions.add_parser(action, help=words).add_argument("kind", choices=kinds.names())
        for action, words in ORDERINGS.items():
            actions.add_parser(action, help=words).add_argument("ids", nargs="+", metavar="ID")
        actions.choices["prioritise"].add_argument("--priority", type=int, required=True, help="higher starts first")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        if options["action"] == "status":
            self._status(is_json=options["json"])
        elif options["action"] in ORDERINGS:
            self._reorder(options)
        else:
            self._set_paused(options["kind"], is_paused=options["action"] == "pause")

    def _reorder(self, options: dict[str, Any]) -> None:
        try:
            moved = _reordered(options)
        except ordering.NotMovable as exc:
            raise CommandError(str(exc)) from exc
        places = queue.positions(moved)
        for job in moved:
            trail.note_change([job], f"{DONE[options['action']]}: priority {job.priority}.")
            place = f"number {places[job.pk]} of the waiting {job.kind} jobs" if job.pk in places else "not due yet"
            self.stdout.write(f"{job.pk} has priority {job.priority}: {place}.")

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
        trail.note_change(QueueState.objects.filter(pk=kind), "Paused." if is_paused else "Resumed.")
        waiting = Job.objects.waiting(kind).count()
        done = "paused: no more jobs start; those that run go on" if is_paused else "open again"
        self.stdout.write(f"The queue of {kind} is {done}. {waiting} waiting.")


def _reordered(options: dict[str, Any]) -> list[Job]:
    match options["action"]:
        case "front":
            return ordering.move_to_front(options["ids"])
        case "back":
            return ordering.move_to_back(options["ids"])
    return ordering.prioritise(options["ids"], options["priority"])


def _row(overview: QueueOverview) -> tuple[object, ...]:
    return (
        overview.kind,
        "paused" if overview.is_paused else "open",
        overview.waiting,
        readable.age(overview.oldest_waiting_at),
        overview.claimed,
        overview.running,
        overview.stopping,
        _slots_in_words(overview),
    )


def _slots_in_words(overview: QueueOverview) -> str:
    drained = f", {len(overview.drained_slots)} drained" if overview.drained_slots else ""
    return f"{len(overview.served_slots)} served, {len(overview.silent_slots)} silent{drained}"


def _details(overviews: list[QueueOverview]) -> list[str]:
    silent = [f"Silent: {slot} (its worker has not been heard of)" for each in overviews for slot in each.silent_slots]
    drained = [
        f"Drained: {slot} (takes no work until `manage.py resume --slot {slot}`)"
        for each in overviews
        for slot in each.drained_slots
    ]
    held = [
        f"{holding.gpu}: held by {holding.job_id} ({holding.status})" for each in overviews for holding in each.holdings
    ]
    return silent + drained + held
