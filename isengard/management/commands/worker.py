import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from isengard.supervisor.workers import WORKER_KINDS, worker_argv


class Command(BaseCommand):
    help = "Run the Celery worker for one kind of work. This process becomes the worker."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=WORKER_KINDS)

    def handle(self, *_arguments: Any, **options: Any) -> None:
        argv = worker_argv(options["kind"])
        # No shell is involved: the words are ours.
        os.execv(argv[0], argv)  # noqa: S606
