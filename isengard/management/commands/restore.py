from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from isengard.backup.checking import check
from isengard.backup.layout import BackupFailed, Manifest
from isengard.backup.parts import PARTS
from isengard.backup.restoring import restore_backup


class Command(BaseCommand):
    help = (
        "Put a backup in place: into an empty database and an empty data directory, while nothing runs there. "
        "An older backup is brought up to this version. Jobs that were running go back to the queue."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="what `backup` made")
        parser.add_argument(
            "--check", action="store_true", help="only read all of the backup, and say whether it is whole"
        )

    def handle(self, *_arguments: Any, **options: Any) -> None:
        folder = Path(options["folder"]).absolute()
        try:
            if options["check"]:
                self.stdout.write(f"{folder} is whole: {_described(check(folder))}.")
                return
            manifest = restore_backup(folder, say=self.stdout.write)
        except BackupFailed as exc:
            raise CommandError(str(exc)) from exc
        call_command("prepare", stdout=self.stdout)
        self._conclude(manifest)

    def _conclude(self, manifest: Manifest) -> None:
        self.stdout.write(f"Restored: {_described(manifest)}.")
        left_out = [part for part in PARTS if part not in manifest.parts]
        if left_out:
            self.stdout.write(f"The backup has no files of {', '.join(left_out)}: put those in place yourself.")
        self.stdout.write("`manage.py audit --deep` compares all of it. Then start; everybody must log in again.")


def _described(manifest: Manifest) -> str:
    rows, made_at = sum(table.rows for table in manifest.tables), manifest.made_at
    return f"{rows} rows and {manifest.file_count} files of {made_at:%Y-%m-%d %H:%M:%S} UTC"
