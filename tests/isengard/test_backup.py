"""`manage.py backup`: consistent while everything runs, whole or not there, and nobody else's to read."""

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.apps import apps
from django.core.files.storage import FileSystemStorage, default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from isengard.backup.at_rest import at_rest
from isengard.backup.checking import check
from isengard.backup.layout import BackupFailed, read_file_list, read_manifest, table_path
from isengard.backup.parts import NAMED, PARTS
from isengard.backup.tables import one_moment
from isengard.stored_files import NAMINGS
from jobs import transitions
from jobs.models import Artifact, Attempt, Job, Status
from tests.jobs import admin_rows as rows

# PostgreSQL reads a moment only at the beginning of a transaction.
pytestmark = pytest.mark.django_db(transaction=True)

NOT_OF_STORED_FILES = {"jobs.job.output_key", "jobs.idempotencykey.key", "sessions.session.session_key"}


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return rows.use_empty_storage(settings, tmp_path / "data")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "monday"


def image(number: int = 1) -> Artifact:
    job = rows.new_job(f"gen-{number}", status=Status.COMPLETED)
    return rows.publish(job, f"gen-{number}-0.png")


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def table(backup: Path, name: str) -> list[dict[str, Any]]:
    columns, *lines = map(orjson.loads, gzip.decompress(table_path(backup, name).read_bytes()).splitlines())
    return [dict(zip(columns, line, strict=True)) for line in lines]


def keys(backup: Path) -> set[str]:
    """Return what the list names, which must be what lies there."""
    listed = {entry.key for entry in read_file_list(backup)}
    assert listed == rows.stored_files(backup / "files")
    return listed


def test_a_backup_has_every_row_and_every_file_that_a_row_names(root: Path, target: Path) -> None:
    rows.one_of_everything()
    for key in ("uploads/a.png", "loras/v1"):
        write(root / key, b"content")
    write(root / "outputs" / "nobody.png", b"of no row")
    write(root / "presets" / "mine.json", b"{}")
    with pytest.raises(CommandError, match="2 files were lost or damaged"):
        # Their rows tell of other contents.
        call_command("backup", str(target))
    assert keys(target) == {"uploads/a.png", "loras/v1", "presets/mine.json", Artifact.objects.get().key}
    (character,) = table(target, "characters.character")
    assert character["name"] == "Ada Lovelace"
    assert check(target).lost == []


def test_the_backup_is_for_nobody_but_its_owner(target: Path) -> None:
    image()
    call_command("backup", str(target))
    modes = {path.stat().st_mode & 0o777 for path in [target, *target.rglob("*")] if path.is_dir()}
    assert modes == {0o700}
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()} == {0o600}


def test_every_column_that_names_a_file_is_known() -> None:
    ours = [model for model in apps.get_models() if model._meta.app_label in ("characters", "generation", "jobs")]
    found = {
        f"{model._meta.label_lower}.{field.name}"
        for model in ours
        for field in model._meta.concrete_fields
        if field.name == "key" or field.name.endswith("_key")
    }
    named = {f"{label}.{naming.key}" for label, naming in NAMINGS.items()}
    assert found - NOT_OF_STORED_FILES == named


# --- while everything runs ---


class BusyStorage(FileSystemStorage):
    """A storage in which, as a file is opened, somebody else does something."""

    meanwhile: dict[str, Callable[[], object]] = {}

    def open(self, name: str, mode: str = "rb") -> Any:
        self.meanwhile.pop(name, lambda: None)()
        return super().open(name, mode)


@pytest.fixture
def meanwhile(settings: Any) -> Iterator[dict[str, Callable[[], object]]]:
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "tests.isengard.test_backup.BusyStorage"}}
    yield BusyStorage.meanwhile
    BusyStorage.meanwhile.clear()


def delete(image: Artifact) -> None:
    """As the API deletes: first the row, then the file."""
    image.job.delete()
    default_storage.delete(image.key)


def test_rows_are_read_as_they_are_at_one_moment_and_nobody_waits_for_that() -> None:
    def somebody_else() -> None:
        try:
            rows.new_job("gen-2")
        finally:
            connection.close()

    rows.new_job("gen-1")
    with one_moment(), ThreadPoolExecutor(1) as threads:
        assert Job.objects.count() == 1
        threads.submit(somebody_else).result(timeout=60)
        assert Job.objects.count() == 1
    assert Job.objects.count() == 2


def test_what_is_published_while_files_are_copied_is_in_the_backup_whole(meanwhile: Any, target: Path) -> None:
    first = image()
    meanwhile[first.key] = lambda: image(2)
    call_command("backup", str(target))
    assert keys(target) == {"outputs/gen-1/1/gen-1-0.png", "outputs/gen-2/1/gen-2-0.png"}
    assert {row["id"] for row in table(target, "jobs.job")} == {"gen-1", "gen-2"}


def test_what_is_deleted_while_files_are_copied_is_not_in_the_backup_at_all(meanwhile: Any, target: Path) -> None:
    first, second = image(1), image(2)
    # The one is copied already, the other not yet.
    meanwhile[second.key] = lambda: [delete(first), delete(second)]
    call_command("backup", str(target))
    assert (keys(target), table(target, "jobs.artifact"), read_manifest(target).lost) == (set(), [], [])


def test_what_is_deleted_after_the_rows_were_read_makes_the_backup_look_again(meanwhile: Any, target: Path) -> None:
    first = image()
    late: list[Artifact] = []

    def publish_one_that_goes_again() -> None:
        late.append(image(2))
        meanwhile[late[0].key] = lambda: delete(late[0])

    meanwhile[first.key] = publish_one_that_goes_again
    call_command("backup", str(target))
    assert keys(target) == {first.key}
    assert {row["id"] for row in table(target, "jobs.job")} == {"gen-1"}


def test_a_file_that_was_lost_before_is_named_and_all_the_rest_is_kept(root: Path, target: Path) -> None:
    lost, kept = image(1), image(2)
    (root / lost.key).unlink()
    with pytest.raises(CommandError, match="The backup is whole, but 1 files were lost or damaged before it"):
        call_command("backup", str(target))
    assert (check(target).lost, keys(target)) == ([lost.key], {kept.key})


# --- claims ---


def test_a_claim_in_a_copy_is_as_if_its_worker_had_given_it_back() -> None:
    job = rows.running_job("gen-1", rows.new_slot(), progress=40, current_step=4, iteration_speed=2.0, eta_seconds=9)
    Attempt.objects.create(job=job, number=1, slot=job.slot)
    copied = at_rest("jobs.job", Job.objects.filter(pk=job.pk).values().get())
    attempt = at_rest("jobs.attempt", Attempt.objects.values().get())
    transitions.give_back(Job.objects.filter(pk=job.pk), message=copied["message"])
    assert copied == Job.objects.values().get()
    assert (attempt["outcome"], attempt["ended_at"] is None) == ("given_back", False)


def test_an_ended_job_whose_engine_is_being_stopped_stays_ended() -> None:
    ended = {"status": Status.CANCELLED, "completed_at": "2026-01-01T00:00:00Z"}
    rows.running_job("gen-1", rows.new_slot(), **ended)
    copied = at_rest("jobs.job", Job.objects.values().get())
    transitions.release(Job.objects.all())
    assert copied == Job.objects.values().get()


# --- whole or not there ---


def test_a_backup_that_fails_leaves_nothing(meanwhile: Any, target: Path) -> None:
    def fill_the_disk() -> None:
        raise OSError(28, "No space left on device")

    meanwhile[image().key] = fill_the_disk
    with pytest.raises(CommandError, match="No space left on device"):
        call_command("backup", str(target))
    assert list(target.parent.iterdir()) == []


def test_an_earlier_backup_is_never_written_over(target: Path) -> None:
    call_command("backup", str(target))
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", str(target))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (flip, "files/outputs/gen-1/1/gen-1-0.png"),
        (Path.unlink, "files/outputs/gen-1/1/gen-1-0.png"),
        (cut, "database/jobs.job.jsonl.gz"),
        (flip, "files.jsonl"),
    ],
)
def test_damage_to_a_backup_is_found(target: Path, harm: Callable[[Path], None], name: str) -> None:
    image()
    call_command("backup", str(target))
    harm(target / name)
    with pytest.raises(CommandError, match=r"is damaged|cannot be read"):
        call_command("restore", str(target), "--check")


def test_a_backup_that_was_cut_off_is_none(target: Path) -> None:
    call_command("backup", str(target))
    (target / "manifest.json").unlink()
    with pytest.raises(BackupFailed, match="is no whole backup"):
        check(target)


# --- which files ---


def test_what_an_earlier_backup_has_is_linked_and_only_the_rest_is_copied(root: Path, target: Path) -> None:
    first = image(1)
    write(root / "presets" / "mine.json", b"{}")
    call_command("backup", str(target))
    image(2)
    write(root / "presets" / "mine.json", b"[]")
    tuesday = target.with_name("tuesday")
    call_command("backup", str(tuesday), "--link-with", str(target))
    assert (tuesday / "files" / first.key).samefile(target / "files" / first.key)
    assert (tuesday / "files" / "presets" / "mine.json").read_bytes() == b"[]"
    assert len(keys(tuesday)) == 3


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], set(PARTS)),
        (["--without", "outputs,samples"], set(PARTS) - {"outputs", "samples"}),
        (["--include", "loras, uploads"], {"loras", "uploads"}),
        (["--database-only"], set()),
    ],
)
def test_files_can_be_left_out_and_the_backup_says_so(target: Path, options: list[str], parts: set[str]) -> None:
    image()
    call_command("backup", str(target), *options)
    assert set(read_manifest(target).parts) == parts
    assert bool(keys(target)) == ("outputs" in parts)
    assert len(table(target, "jobs.job")) == 1


def test_a_part_that_there_is_not_is_refused(target: Path) -> None:
    with pytest.raises(CommandError, match="'pictures' is none of"):
        call_command("backup", str(target), "--include", "pictures")


def test_nothing_is_restored_over_anything(settings: Any, root: Path, target: Path) -> None:
    settings.RUN_DIR = root / "run"
    image()
    call_command("backup", str(target))
    with pytest.raises(CommandError, match=r"data directory .* is not empty, it has outputs/gen-1/1/gen-1-0\.png"):
        call_command("restore", str(target))
    (root / "outputs/gen-1/1/gen-1-0.png").unlink()
    settings.RUN_DIR = root / "other"
    with pytest.raises(CommandError, match=r"database is not empty, it has rows in .*jobs\.artifact"):
        call_command("restore", str(target))
    assert {path.split("/")[0] for path in rows.stored_files(root)}.isdisjoint(NAMED)


def test_a_backup_of_a_newer_version_is_refused_before_anything_is_touched(
    settings: Any, root: Path, target: Path
) -> None:
    settings.RUN_DIR = root / "run"
    write(root / "presets" / "mine.json", b"{}")
    call_command("backup", str(target))
    (root / "presets" / "mine.json").unlink()
    known = read_manifest(target).schema_version["jobs"]
    manifest = target / "manifest.json"
    manifest.write_text(manifest.read_text().replace(known, "9999_of_tomorrow"))
    with pytest.raises(CommandError, match="restore it with a newer one"):
        call_command("restore", str(target))
    assert rows.stored_files(root) == {"run/lock"}
