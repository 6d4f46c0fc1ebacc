from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from jobs import draining, trail
from jobs.management.slot_choice import add_slot_choice, chosen_slots
from jobs.models import Slot


class Command(BaseCommand):
    help = "Let drained slots take work again. (A paused kind of job: `manage.py queue resume KIND`.)"
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_slot_choice(parser)

    def handle(self, *_arguments: Any, **options: Any) -> None:
        names = chosen_slots(options)
        draining.resume(names)
        trail.note_change(Slot.objects.filter(pk__in=names), "Takes work again.")
        self.stdout.write(f"Taking work again: {', '.join(names)}.")
