"""The tables as they are in the database, whatever this version's models say: one backs up before one upgrades."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor

from isengard.backup.layout import BackupFailed

# Who is logged in, and the places that workers register when they start, belong to one run, not to what is kept.
NOT_KEPT = ("sessions.session", "jobs.slot", "jobs.gpulease")

Nodes = list[tuple[str, str]]


def present_version() -> Mapping[str, str]:
    """Return the last applied migration of each app. Raises BackupFailed."""
    loader = MigrationExecutor(connection).loader
    applied = set(loader.applied_migrations)
    unknown = sorted(node for node in applied - set(loader.disk_migrations) if node[0] in loader.migrated_apps)
    if unknown:
        app, name = unknown[0]
        raise BackupFailed(f"The database has {app}.{name}, which this version lacks: use the version that made it.")
    last = {
        app: name
        for app, name in sorted(applied & set(loader.disk_migrations))
        if not {child.key for child in loader.graph.node_map[app, name].children if child.key[0] == app} & applied
    }
    if not last:
        raise BackupFailed("The database has no tables yet: there is nothing to back up.")
    return last


def models_of(version: Mapping[str, str]) -> dict[str, type[models.Model]]:
    """Return the models of a schema whose rows are kept, by label. Raises BackupFailed for one that is unknown here."""
    loader = MigrationExecutor(connection).loader
    apps: Any = loader.project_state(known_nodes(version)).apps
    found = {model._meta.label_lower: model for model in apps.get_models(include_auto_created=True)}
    return {name: model for name, model in found.items() if name not in NOT_KEPT}


def known_nodes(version: Mapping[str, str]) -> Nodes:
    """Raises BackupFailed."""
    known = MigrationExecutor(connection).loader.disk_migrations
    for app, name in version.items():
        if (app, name) not in known:
            raise BackupFailed(f"The backup has {app}.{name}, which this version lacks: restore it with a newer one.")
    return list(version.items())


def migrate_to(version: Mapping[str, str]) -> None:
    """Make the tables of a schema in a database that has none of a later one. Raises BackupFailed."""
    executor = MigrationExecutor(connection)
    nodes = known_nodes(version)
    wanted = {node for target in nodes for node in executor.loader.graph.forwards_plan(target)}
    newer = sorted(set(executor.loader.applied_migrations) & set(executor.loader.graph.nodes) - wanted)
    if newer:
        app, name = newer[0]
        raise BackupFailed(
            f"The database has {app}.{name} already, which is newer than the backup: give an empty database, "
            "without running `manage.py prepare` first."
        )
    executor.migrate(nodes)


def rows_in_the_way() -> Iterator[str]:
    """Yield the tables of Isengard that have rows. Those of Django get their first ones when they are made."""
    executor = MigrationExecutor(connection)
    here = set(connection.introspection.table_names())
    for model in executor.loader.project_state().apps.get_models():
        if model._meta.app_label in ("characters", "training", "generation", "jobs") and model._meta.db_table in here:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT 1 FROM {connection.ops.quote_name(model._meta.db_table)} LIMIT 1")  # noqa: S608
                if cursor.fetchone():
                    yield model._meta.label_lower
