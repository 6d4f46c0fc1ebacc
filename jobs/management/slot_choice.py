"""Which slots a command is about."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from jobs import draining, kinds
from jobs.models import Slot


def add_slot_choice(parser: ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--slot", metavar="NAME", help="only this one, as `queue status --json` names it")
    choice.add_argument("--host", help="only those whose GPU or worker is on this machine")
    choice.add_argument("--kind", choices=kinds.names(), help="only those for this kind of job")


def chosen_slots(options: dict[str, Any]) -> list[str]:
    """Return the names, all where nothing was chosen. Raises CommandError where none fits."""
    found = draining.find_slots(
        name=options["slot"] or "", host=options["host"] or "", kind=options["kind"] or ""
    ).values_list("name", flat=True)
    if not found:
        known = ", ".join(Slot.objects.order_by("name").values_list("name", flat=True)) or "none"
        raise CommandError(f"No slot fits. Known slots: {known}.")
    return list(found)
