"""Which changes of the tables leave the processes of the release before at work beside the new ones.

While a release is rolled out, the tables are new and some of the processes are old: those insert rows without the new
columns, and read and write all the old ones.
"""

from collections.abc import Iterator

from django.db import connection, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.fields import NOT_PROVIDED, Field

HARMLESS = (
    migrations.RemoveIndex,
    migrations.RenameIndex,
    migrations.RemoveConstraint,
    migrations.AlterModelOptions,
    migrations.AlterModelManagers,
    migrations.AlterModelTableComment,
)
LOSSES = (migrations.RemoveField, migrations.DeleteModel)
RENAMES = (migrations.RenameField, migrations.RenameModel, migrations.AlterModelTable)
CONSTRAINTS = (migrations.AddConstraint, migrations.AlterUniqueTogether)


def objections(migration: migrations.Migration, state: ProjectState) -> list[str]:
    """Return what old processes could not live with. `state` is that before the migration, and is moved past it."""
    found = []
    new_models: set[str] = set()
    for operation in migration.operations:
        before = state.clone()
        operation.state_forwards(migration.app_label, state)
        if isinstance(operation, migrations.CreateModel):
            new_models.add(operation.name_lower)
        # Nobody uses a table yet that appears in the same migration.
        if getattr(operation, "model_name_lower", None) not in new_models:
            found += [f"{operation.describe()}: {why}" for why in _judge(operation, migration.app_label, before, state)]
    return found


def _judge(operation: Operation, app: str, before: ProjectState, after: ProjectState) -> Iterator[str]:
    match operation:
        case migrations.SeparateDatabaseAndState():
            for inner in operation.database_operations:
                yield from _judge(inner, app, before, after)
        case migrations.AddField():
            yield from _judge_new_field(operation.field)
        case migrations.AlterField():
            old, new = (_field(state, app, operation) for state in (before, after))
            yield from _judge_altered_field(old, new)
        case _:
            yield from _judge_by_kind(operation, before)


def _judge_by_kind(operation: Operation, before: ProjectState) -> Iterator[str]:
    if isinstance(operation, LOSSES):
        yield "old processes still name it; remove it one release after the last that used it"
    elif isinstance(operation, RENAMES):
        yield "old processes know only the old name; add the new one, fill both, and remove the old one later"
    elif isinstance(operation, CONSTRAINTS):
        yield "what old processes write may break it, and checking the rows holds up all writers"
    elif isinstance(operation, migrations.AddIndex):
        yield "PostgreSQL holds up all writers while it is built; build it concurrently, or say why that is quick"
    elif isinstance(operation, migrations.CreateModel):
        yield from _judge_new_table(operation, before)
    elif not isinstance(operation, HARMLESS):
        yield "nobody can tell what it does to old processes"


def _judge_new_table(operation: migrations.CreateModel, before: ProjectState) -> Iterator[str]:
    for _, field in operation.fields:
        if isinstance(field, models.ForeignKey) and field.db_constraint:
            label = str(field.remote_field.model).lower()
            if tuple(label.split(".")) in before.models:
                yield f"old processes cannot delete a row of {label} that it names"


def _judge_new_field(field: Field) -> Iterator[str]:
    if not (field.many_to_many or field.null or _has_db_default(field)):
        yield "old processes insert rows without it; let it be null, or give it a db_default"


def _judge_altered_field(old: Field, new: Field) -> Iterator[str]:
    if _type(old) != _type(new) and not _is_longer_text(old, new):
        yield "its type changes under old processes"
    if old.null and not new.null:
        yield "old processes may still write null"
    if new.unique and not old.unique:
        yield "old processes may still write a value twice"
    if _has_db_default(old) and not (_has_db_default(new) or new.null):
        yield "old processes may rely on its db_default"


def _field(state: ProjectState, app: str, operation: migrations.AlterField) -> Field:
    return state.apps.get_model(app, operation.model_name)._meta.get_field(operation.name)


def _has_db_default(field: Field) -> bool:
    return field.db_default is not NOT_PROVIDED


def _type(field: Field) -> tuple[object, ...]:
    return field.db_type(connection), field.column, field.get_internal_type()


def _is_longer_text(old: Field, new: Field) -> bool:
    both = (old, new)
    if not all(isinstance(field, models.CharField) for field in both) or old.column != new.column:
        return False
    return (old.max_length or 0) <= (new.max_length or 0)
