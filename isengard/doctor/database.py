"""The database: there, up to date, and set up so that no accepted job is lost."""

from collections.abc import Iterator
from pathlib import Path

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from isengard.doctor.finding import Finding, failed, ok, warning
from jobs.models import Job

PREPARE = "Run `manage.py prepare`."
SYNCHRONOUS_FULL = 2


def check_database() -> Iterator[Finding]:
    if not _exists():
        yield failed("database", f"there is no {connection.settings_dict['NAME']} yet", PREPARE)
        return
    try:
        connection.ensure_connection()
        yield from _sqlite() if _is_sqlite() else _server()
        yield from _migrations()
    except DatabaseError as exc:
        yield failed("database", f"does not answer: {_first_line(exc)}", "Start it, or correct DATABASE_URL.")


def has_rows() -> bool:
    """Return whether the tables can be read, so that other checks may look into them."""
    try:
        return _exists() and Job.objects.count() >= 0
    except DatabaseError:
        return False


def _exists() -> bool:
    # Connecting to an SQLite file that is not there would make an empty one, and a doctor changes nothing.
    return not _is_sqlite() or Path(connection.settings_dict["NAME"]).is_file()


def _is_sqlite() -> bool:
    return connection.vendor == "sqlite"


def _sqlite() -> Iterator[Finding]:
    journal, synchronous = _pragma("journal_mode"), _pragma("synchronous")
    if (journal, synchronous) == ("wal", SYNCHRONOUS_FULL):
        yield ok("database", "SQLite with write-ahead log, synced at every commit")
    else:
        yield failed(
            "database",
            f"SQLite has journal_mode {journal} and synchronous {synchronous} instead of wal and {SYNCHRONOUS_FULL}",
            "Put it on a local disk: network file systems cannot keep a write-ahead log.",
        )


def _pragma(name: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return cursor.fetchone()[0]


def _server() -> Iterator[Finding]:
    # Django itself refuses to connect to a version that is too old.
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0]
    yield ok("database", f"{connection.display_name} {version} answers")


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = [str(migration) for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if missing:
        yield failed("database", f"{len(missing)} migrations are not applied: {', '.join(missing[:3])} …", PREPARE)
    else:
        yield ok("database", "all migrations are applied")
    unknown = sorted(set(executor.loader.applied_migrations) - set(executor.loader.disk_migrations))
    ours = [f"{app}.{name}" for app, name in unknown if app in executor.loader.migrated_apps]
    if ours:
        advice = "An older Isengard runs on a newer database: upgrade it, or restore the backup of before."
        yield warning("database", f"it has migrations that this version lacks: {', '.join(ours)}", advice)


def _first_line(exc: Exception) -> str:
    return str(exc).strip().split("\n")[0]
