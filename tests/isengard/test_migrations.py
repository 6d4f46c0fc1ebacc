"""Old processes live with new tables, so that a release can be rolled out while others work."""

from typing import Any

import pytest
from django.apps import apps
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models import Field, Model
from django.utils import timezone

from tests.isengard.migration_rules import objections

# What the last release had. Whoever releases sets this to the newest migrations, and empties `EXCUSED`.
RELEASED = {
    "characters": "0002_uploaded_lora_kept_once",
    "generation": "0002_workflow_copies",
    "jobs": "0007_gpu_windows",
}
# Objection → why it holds up nobody, where the rule is too strict.
EXCUSED = {
    "jobs.0008_attempts_deadlines_and_drains: Create model Attempt: old processes cannot delete a row of jobs.job "
    "that it names": "Jobs are deleted by hand; what an old process refuses, a new one does a minute later.",
    "jobs.0010_job_held: Create index job_held on field(s) slot of model job: PostgreSQL holds up all writers while it "
    "is built; build it concurrently, or say why that is quick": "A handful of a million jobs is held: that is one "
    "scan of under a second, and writers wait for ten.",
}


@pytest.fixture(scope="module")
def loader() -> MigrationLoader:
    return MigrationLoader(None)


def test_every_migration_since_the_last_release_leaves_old_processes_at_work(loader: MigrationLoader) -> None:
    released = list(RELEASED.items())
    state = loader.project_state(released)
    done = {key for target in released for key in loader.graph.forwards_plan(target)}
    plan = [key for leaf in loader.graph.leaf_nodes() for key in loader.graph.forwards_plan(leaf)]
    found = []
    for key in dict.fromkeys(plan):
        migration = loader.graph.nodes[key]
        if key in done:
            continue
        if key[0] in RELEASED:
            found += [f"{'.'.join(key)}: {objection}" for objection in objections(migration, state)]
        else:
            migration.mutate_state(state, preserve=False)
    assert [objection for objection in found if objection not in EXCUSED] == []


def test_every_app_of_ours_with_tables_is_looked_at(loader: MigrationLoader) -> None:
    ours = {app.label for app in apps.get_app_configs() if "." not in app.name and any(app.get_models())}
    assert ours == set(RELEASED)
    assert set(RELEASED.items()) <= set(loader.graph.nodes)


def _planted(operation: migrations.operations.base.Operation) -> migrations.Migration:
    migration = migrations.Migration("planted", "jobs")
    migration.operations = [operation]
    return migration


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (migrations.AddField("job", "extra", models.IntegerField(default=0)), "without it"),
        (migrations.AlterField("job", "run_after", models.DateTimeField()), "write null"),
        (migrations.AlterField("job", "kind", models.IntegerField()), "its type changes"),
        (migrations.AlterField("job", "kind", models.CharField(max_length=10)), "its type changes"),
        (migrations.AlterField("job", "slot", models.CharField(max_length=200, unique=True)), "a value twice"),
        (migrations.RemoveField("job", "eta_seconds"), "one release after"),
        (migrations.DeleteModel("JobLogLine"), "one release after"),
        (migrations.RenameField("job", "slot", "place"), "only the old name"),
        (migrations.RenameModel("Slot", "Place"), "only the old name"),
        (migrations.AddIndex("job", models.Index(fields=["slot"], name="job_slot")), "holds up all writers"),
        (
            migrations.AddConstraint("job", models.UniqueConstraint(fields=["slot"], name="one_job_a_slot")),
            "may break it",
        ),
        (
            migrations.CreateModel(
                "Extra",
                [("id", models.BigAutoField(primary_key=True)), ("job", models.ForeignKey("jobs.Job", models.CASCADE))],
            ),
            "cannot delete",
        ),
        (migrations.RunSQL("DROP TABLE jobs_job"), "nobody can tell"),
        (migrations.RunPython(migrations.RunPython.noop), "nobody can tell"),
        (
            migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL("DROP TABLE jobs_job")]),
            "nobody can tell",
        ),
    ],
    ids=lambda value: value.describe() if hasattr(value, "describe") else "",
)
def test_what_old_processes_could_not_live_with_is_found(operation: Any, why: str, loader: MigrationLoader) -> None:
    (objection,) = objections(_planted(operation), loader.project_state())
    assert why in objection


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("job", "extra", models.IntegerField(null=True)),
        migrations.AddField("job", "extra", models.IntegerField(default=0, db_default=0)),
        migrations.AlterField("job", "kind", models.CharField(max_length=30, help_text="Longer.")),
        migrations.AlterField("job", "slot", models.CharField(max_length=200, null=True)),
        migrations.RemoveIndex("job", "job_newest"),
        migrations.CreateModel("Extra", [("id", models.BigAutoField(primary_key=True)), ("n", models.IntegerField())]),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_old_processes_never_notice_is_let_through(operation: Any, loader: MigrationLoader) -> None:
    assert objections(_planted(operation), loader.project_state()) == []


class OldRows:
    """Rows as the last release writes them: its models know only its own columns."""

    def __init__(self, old_apps: Any) -> None:
        self._apps = old_apps
        self.made: dict[type[Model], Model] = {}

    def of(self, model: type[Model]) -> Model:
        if model not in self.made:
            fields = [field for field in model._meta.concrete_fields if self._is_asked_for(field)]
            self.made[model] = model.objects.create(**{field.name: self._value(field) for field in fields})
        return self.made[model]

    def _is_asked_for(self, field: Field) -> bool:
        is_filled_in = field.has_default() or field.null or field.blank
        return not is_filled_in and not getattr(field, "auto_now", False)

    def _value(self, field: Field) -> object:
        match field:
            case models.ForeignKey():
                return self.of(self._apps.get_model(*field.related_model._meta.label.split(".")))
            case models.DateTimeField():
                return timezone.now()
            case models.CharField() | models.TextField():
                return "x"
            case models.JSONField():
                return {}
        return 1


@pytest.mark.django_db
def test_the_last_release_reads_and_writes_every_table_of_this_one(loader: MigrationLoader) -> None:
    old_apps = loader.project_state(list(RELEASED.items())).apps
    rows = OldRows(old_apps)
    old_models = [model for model in old_apps.get_models() if model._meta.app_label in RELEASED]
    for model in old_models:
        row = rows.of(model)
        row.save(force_update=len(row._meta.concrete_fields) > 1)
        assert apps.get_model(row._meta.label).objects.get(pk=row.pk)
        assert model.objects.get(pk=row.pk)
    assert len(old_models) > 10
    with connection.cursor() as cursor:
        columns = {column.name for column in connection.introspection.get_table_description(cursor, "jobs_job")}
    assert "deadline_at" in columns - {field.column for field in old_apps.get_model("jobs", "Job")._meta.fields}
    for row in reversed(rows.made.values()):
        row.delete()
