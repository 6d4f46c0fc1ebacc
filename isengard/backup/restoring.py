"""A backup becomes an Isengard: into an empty database and empty folders, and nowhere else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import DatabaseError

from characters import files
from isengard.backup import schema
from isengard.backup.checking import check
from isengard.backup.layout import BackupFailed, Manifest, file_path, read_file_list
from isengard.backup.tables import load_tables
from isengard.stored_files import stored_below
from isengard.supervisor.errors import CannotStart
from isengard.supervisor.lock import hold_data_directory

Say = Callable[[str], Any]


def restore_backup(folder: Path, *, say: Say) -> Manifest:
    """Put the backup in place. The database comes last, in one transaction. Raises BackupFailed."""
    say("Checking the backup …")
    manifest = check(folder)
    _refuse_while_in_use()
    _refuse_unless_empty(manifest)
    try:
        schema.migrate_to(manifest.schema_version)
        say(f"Putting {manifest.file_count} files in place …")
        _restore_files(folder)
        say(f"Loading {sum(table.rows for table in manifest.tables)} rows …")
        load_tables(manifest, folder, _models(manifest))
        call_command("migrate", interactive=False, verbosity=0)
    except (OSError, DatabaseError) as exc:
        advice = "empty the data directory and the database again before the next try"
        raise BackupFailed(f"The backup could not be put in place ({exc}): {advice}.") from exc
    return manifest


def _refuse_while_in_use() -> None:
    try:
        # Held for as long as this process lives, so that nothing starts meanwhile.
        hold_data_directory(settings.RUN_DIR)
    except CannotStart as exc:
        raise BackupFailed(f"Not while it runs: {exc}") from exc


def _refuse_unless_empty(manifest: Manifest) -> None:
    """What the backup does not hold may be there: a database is moved beneath files that stay where they are."""
    for part in manifest.parts:
        for key in stored_below(part):
            raise BackupFailed(f"The data directory {settings.DATA_DIR} is not empty, it has {key}: give an empty one.")
    try:
        tables = list(schema.rows_in_the_way())
    except DatabaseError as exc:
        raise BackupFailed(f"The database does not answer: {exc}") from exc
    if tables:
        raise BackupFailed(f"The database is not empty, it has rows in {', '.join(tables)}: give an empty one.")


def _restore_files(folder: Path) -> None:
    for entry in read_file_list(folder):
        with file_path(folder, entry.key).open("rb") as content:
            files.publish(entry.key, content)
        if default_storage.size(entry.key) != entry.size_bytes:
            raise BackupFailed(f"{entry.key} was not stored whole: look at the disk, then begin again.")


def _models(manifest: Manifest) -> dict[str, Any]:
    found = schema.models_of(manifest.schema_version)
    named = {table.name for table in manifest.tables}
    if named != set(found):
        odd = ", ".join(sorted(named ^ set(found)))
        raise BackupFailed(f"The tables of the backup are not those of its schema: {odd}.")
    return found
