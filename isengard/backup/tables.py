"""A table as compressed lines of JSON: first its columns, then a list for each row. Any database can take it back."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from django.core.management.color import no_style
from django.db import connection, models, transaction

from isengard.backup.at_rest import Values, at_rest
from isengard.backup.layout import BackupFailed, Manifest, TableEntry, create, digest_of, table_path

COMPRESSION = 4
ROWS_AT_ONCE = 500


@contextmanager
def one_moment() -> Iterator[None]:
    """Have everything read inside as it is at one moment, while others go on writing."""
    connection.ensure_connection()
    with _without_write_lock(), transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


@contextmanager
def _without_write_lock() -> Iterator[None]:
    """Begin SQLite's transactions as readers: as they are set up, they would lock out every writer meanwhile."""
    sqlite: Any = connection
    if connection.vendor != "sqlite":
        yield
        return
    before, sqlite.transaction_mode = sqlite.transaction_mode, "DEFERRED"
    try:
        yield
    finally:
        sqlite.transaction_mode = before


def write_table(model: type[models.Model], folder: Path, *, seen: Callable[[str, Values], None]) -> TableEntry:
    """Write a table's rows, at rest; `seen` gets each of them."""
    name = model._meta.label_lower
    columns = [field.attname for field in model._meta.concrete_fields]
    rows = model._base_manager.order_by("pk").values_list(*columns)
    path, count = table_path(folder, name), 0
    with create(path) as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=COMPRESSION, mtime=0) as lines:
        lines.write(orjson.dumps(columns) + b"\n")
        for values in rows.iterator(chunk_size=ROWS_AT_ONCE):
            count += 1
            row = at_rest(name, dict(zip(columns, values, strict=True)))
            seen(name, row)
            lines.write(orjson.dumps([row[column] for column in columns]) + b"\n")
    return TableEntry(name=name, rows=count, size_bytes=path.stat().st_size, sha256=digest_of(path))


def load_tables(manifest: Manifest, folder: Path, found: dict[str, type[models.Model]]) -> None:
    """Put the rows in place of whatever is there, all of them or none. Raises BackupFailed."""
    with transaction.atomic():
        # The keys of other tables are checked at the end, so their order does not matter.
        for model in found.values():
            model._base_manager.all().delete()
        for table in manifest.tables:
            _load(table, folder, found[table.name])
        connection.check_constraints()
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), list(found.values())):
                cursor.execute(statement)


def _load(table: TableEntry, folder: Path, model: type[models.Model]) -> None:
    _keep_times_as_they_are(model)
    loaded = 0
    with gzip.open(table_path(folder, table.name), "rb") as lines:
        fields = [_field(model, column) for column in orjson.loads(next(lines))]
        rows = (_row(model, fields, orjson.loads(line)) for line in lines)
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            loaded += len(model._base_manager.bulk_create(batch))
    if loaded != table.rows:
        raise BackupFailed(f"{table.name} has {loaded} rows instead of {table.rows}: the backup is damaged.")


def _keep_times_as_they_are(model: type[models.Model]) -> None:
    # The models are of a migration's state: nobody else has them.
    for field in model._meta.concrete_fields:
        if isinstance(field, models.DateField):
            field.auto_now = field.auto_now_add = False


def _field(model: type[models.Model], column: str) -> "models.Field[Any, Any]":
    for field in model._meta.concrete_fields:
        if field.attname == column:
            return field
    raise BackupFailed(f"{model._meta.label_lower} has no column {column} here: the backup is damaged.")


def _row(model: type[models.Model], fields: "list[models.Field[Any, Any]]", values: list[Any]) -> models.Model:
    named = zip(fields, values, strict=True)
    return model(**{field.attname: field.to_python(value) for field, value in named})
