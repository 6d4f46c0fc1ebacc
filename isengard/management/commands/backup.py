import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from isengard.backup.layout import BackupFailed
from isengard.backup.parts import PARTS
from isengard.backup.writing import Written, write_backup
from jobs import readable


class Command(BaseCommand):
    help = (
        "Copy the database and the files that it names into a new folder, while everything runs. "
        "The copy is checked at the end, and `restore` puts it into any database that Isengard knows."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="a new folder; it appears when the backup is whole")
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--include", type=_parts, metavar="A,B", help=f"only these folders of files, among {','.join(PARTS)}"
        )
        which.add_argument("--without", type=_parts, metavar="A,B", help="all folders of files but these")
        which.add_argument("--database-only", action="store_true", help="no files: they are kept by other means")
        parser.add_argument(
            "--link-with", type=Path, metavar="BACKUP", help="take what this earlier one has by hard links"
        )

    def handle(self, *_arguments: Any, **options: Any) -> None:
        target = Path(options["folder"]).absolute()
        try:
            written = write_backup(target, parts=_chosen(options), previous=options["link_with"])
        except BackupFailed as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            raise CommandError(f"The database does not answer: {exc}") from exc
        self._tell(written)

    def _tell(self, written: Written) -> None:
        manifest = written.manifest
        rows, size = sum(table.rows for table in manifest.tables), readable.size(manifest.files_bytes)
        linked = f", {written.linked} of them linked" if written.linked else ""
        self.stdout.write(f"{written.folder}: {rows} rows, {manifest.file_count} files ({size}){linked}, checked.")
        left_out = [part for part in PARTS if part not in manifest.parts]
        if left_out:
            self.stdout.write(f"Not in it: the files in {', '.join(left_out)}.")
        wrong = [*written.damaged, *(f"{key} is named by a row, and there is no such file" for key in manifest.lost)]
        for each in wrong:
            self.stderr.write(each)
        if wrong:
            raise CommandError(
                f"The backup is whole, but {len(wrong)} files were lost or damaged before it: see above."
            )


def _chosen(options: dict[str, Any]) -> tuple[str, ...]:
    if options["database_only"]:
        return ()
    if options["include"] is not None:
        return tuple(options["include"])
    return tuple(part for part in PARTS if part not in (options["without"] or ()))


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    for part in parts:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    return parts
