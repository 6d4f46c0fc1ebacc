import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from jobs import trail

ADMIN_NAME = "admin"
STORAGE_FOLDERS = ("uploads", "inputs", "loras", "outputs", "samples", "checkpoints")
GENERATED_PASSWORD_BYTES = 12


class Command(BaseCommand):
    help = "Make ready for a start: directories, the database's tables, and at the first start an admin user."
    requires_system_checks = []

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        _make_directories()
        _migrate()
        # The one that stands for the command line cannot log in, and may be there before anybody else.
        if not get_user_model().objects.exclude(username=trail.USER_NAME).exists():
            self.stdout.write(_create_admin())


def _make_directories() -> None:
    folders = (Path(settings.DATA_DIR) / name for name in STORAGE_FOLDERS)
    for folder in (Path(settings.RUN_DIR), Path(settings.FILE_UPLOAD_TEMP_DIR), *folders):
        folder.mkdir(parents=True, exist_ok=True)


def _migrate() -> None:
    executor = MigrationExecutor(connection)
    # At nearly every start there is nothing to do, and finding that out is ten times quicker than the whole command.
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)


def _create_admin() -> str:
    """Create the first admin user; return the line that tells how to log in."""
    chosen = settings.ADMIN_PASSWORD
    password = chosen or secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)
    get_user_model().objects.create_superuser(username=ADMIN_NAME, email="", password=password)
    told = "the password in ISENGARD_ADMIN_PASSWORD" if chosen else f"the password {password} (shown only this once)"
    return f"Log in to the admin pages as {ADMIN_NAME} with {told}."
