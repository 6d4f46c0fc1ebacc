"""A backup of a running Isengard becomes another one, on either database: what ran goes on, what had ended is there."""

import gzip
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from isengard.backup.layout import digest_of, read_manifest, table_path
from tests.api_client import Api
from tests.conftest import wait_until
from tests.isengard.supervisor_fixtures import PROJECT_DIRECTORY
from tests.postgresql import PostgreSQL
from tests.stack import Stack
from tests.training.holding import Hold

# The longer time is for a busy machine.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

LONG_TRAINING = {"steps": 600, "checkpoint_every_n_steps": 100, "sample_every_n_steps": 1000, "sample_count": 1}


@dataclass(frozen=True, slots=True)
class Original:
    """A running Isengard, and what was going on in it when its backup was made."""

    stack: Stack
    backup: Path
    trained: str
    drawn: str
    training: str
    drawing: str
    audit: subprocess.CompletedProcess[str]


def command(data_dir: Path, *arguments: str, database: str = "") -> subprocess.CompletedProcess[str]:
    foreign = ("DATABASE_URL", "ISENGARD_DATA_DIR", "REDIS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    own = {"ISENGARD_DATA_DIR": str(data_dir)} | ({"DATABASE_URL": database} if database else {})
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT_DIRECTORY,
        env=environment | own,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def done(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    folder = tmp_path_factory.mktemp("original")
    # However slow the machine, the long training is at work until there is a backup.
    hold = Hold(folder / "held", at=150)
    stack = Stack(folder / "data", AI_TOOLKIT_PYTHON=hold.python)
    try:
        yield _backed_up_in_mid_work(stack.start(), hold, folder / "backup")
    finally:
        stack.stop()


def _backed_up_in_mid_work(stack: Stack, hold: Hold, backup: Path) -> Original:
    api = Api(stack.url)
    character = api.make_character(photos=2)
    trained, drawn = api.train(character), api.generate(count=2)
    assert {api.wait_for(job)["status"] for job in (trained, drawn)} == {"completed"}
    training = api.train(character, **LONG_TRAINING)
    wait_until(lambda: _has_checkpoint(api, training), seconds=120, what="a checkpoint")
    drawing = api.generate(count=8, steps=50)
    done(command(stack.data_dir, "backup", str(backup)))
    assert api.job(training)["status"] == "running"
    # It goes on, and does not end while it is looked at.
    hold.at(500)
    audit = command(stack.data_dir, "audit", "--deep")
    hold.let_go()
    return Original(stack, backup, trained, drawn, training, drawing, audit)


def _has_checkpoint(api: Api, job: str) -> bool:
    return any(file["type"] == "checkpoint" for file in api.get(f"/api/jobs/{job}/artifacts")["artifacts"])


def tables(backup: Path) -> dict[str, list[dict[str, Any]]]:
    """Return all rows, in an order that does not depend on how a database compares texts."""
    found = {}
    for table in read_manifest(backup).tables:
        columns, *lines = map(orjson.loads, gzip.decompress(table_path(backup, table.name).read_bytes()).splitlines())
        found[table.name] = [dict(zip(columns, line, strict=True)) for line in sorted(lines, key=orjson.dumps)]
    return found


def test_an_audit_of_a_busy_isengard_raises_no_false_alarm(original: Original) -> None:
    assert done(original.audit) == "All is well.\n"


def test_a_copy_of_what_runs_has_no_claim_and_no_place_in_it(original: Original) -> None:
    copied = tables(original.backup)
    jobs = {row["id"]: row for row in copied["jobs.job"]}
    assert jobs[original.training]["status"] == "queued"
    assert {(row["token"], row["slot"], row["holder"], row["gpu_id"]) for row in jobs.values()} == {
        ("", "", None, None)
    }
    assert all(row["ended_at"] for row in copied["jobs.attempt"])
    assert copied.keys().isdisjoint({"jobs.slot", "jobs.gpulease", "sessions.session"})


def test_a_restored_isengard_ends_what_ran_and_has_all_that_had_ended(original: Original, tmp_path: Path) -> None:
    said = done(command(tmp_path / "data", "restore", str(original.backup)))
    assert "Restored: " in said
    assert "password" not in said, "the people of the backup log in, so no admin is made"
    # Its engines are not the copy's: they may not be touched by it, nor both run at once on a small machine.
    original.stack.stop()
    stack = Stack(tmp_path / "data", ISENGARD_SIMULATOR_STEP_SECONDS="0.001").start()
    try:
        _check_restored(Api(stack.url), original)
        # That goes a moment after the end.
        wait_until(lambda: not list((tmp_path / "data").glob("workspaces/*")), what="no workspace")
        assert done(command(tmp_path / "data", "audit", "--deep")) == "All is well.\n"
    finally:
        stack.stop()


def _check_restored(api: Api, original: Original) -> None:
    went_on = api.wait_for(original.training, seconds=120)
    assert (went_on["status"], went_on["attempt"], went_on["current_step"]) == ("completed", 2, 600)
    assert "RESUMING" in api.call("GET", f"/api/jobs/{original.training}/logs").text
    images = api.wait_for(original.drawing, seconds=120)["output_paths"]
    assert len(images) == 8
    for job in (original.trained, original.drawn):
        assert api.job(job)["status"] == "completed"
        for file in api.get(f"/api/jobs/{job}/artifacts")["artifacts"]:
            assert api.call("GET", file["url"]).content
    loras = api.get("/api/loras?source=trained")["loras"]
    assert {lora["name"] for lora in loras} == {"Ann v1", "Ann v2"}


# --- another database, and an older schema ---


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    server = PostgreSQL().start()
    yield server
    server.stop()


def test_a_backup_moves_from_sqlite_to_postgresql_unchanged(
    original: Original, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    database = postgresql.ensure_database("moved")
    done(command(tmp_path / "data", "restore", str(original.backup), database=database))
    done(command(tmp_path / "data", "backup", str(tmp_path / "again"), database=database))
    assert tables(tmp_path / "again") == tables(original.backup)
    assert digest_of(tmp_path / "again" / "files.jsonl") == digest_of(original.backup / "files.jsonl")
    with postgresql.connect("moved") as connection:
        (newest, next_one) = connection.execute(
            "SELECT max(id), nextval(pg_get_serial_sequence('jobs_artifact', 'id')) FROM jobs_artifact"
        ).fetchone()
    assert next_one == newest + 1


def test_a_backup_of_an_older_schema_is_brought_up_to_date(original: Original, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(original.backup, older)
    _make_older(older)
    assert "Restored: " in done(command(tmp_path / "data", "restore", str(older)))
    with closing(sqlite3.connect(tmp_path / "data" / "isengard.sqlite3")) as database:
        jobs = database.execute("SELECT id, deadline_at FROM jobs_job").fetchall()
        attempts = database.execute("SELECT count(*) FROM jobs_attempt").fetchone()
    assert sorted(jobs) == sorted((row["id"], None) for row in tables(original.backup)["jobs.job"])
    assert attempts == (0,)


def _make_older(backup: Path) -> None:
    """Turn a backup into what the version before attempts and deadlines would have written."""
    manifest = orjson.loads((backup / "manifest.json").read_bytes())
    manifest["schema_version"]["jobs"] = "0007_gpu_windows"
    manifest["tables"] = [table for table in manifest["tables"] if table["name"] != "jobs.attempt"]
    table_path(backup, "jobs.attempt").unlink()
    (jobs,) = [table for table in manifest["tables"] if table["name"] == "jobs.job"]
    jobs.update(_without_column(table_path(backup, "jobs.job"), "deadline_at"))
    (backup / "manifest.json").write_bytes(orjson.dumps(manifest))


def _without_column(path: Path, column: str) -> Mapping[str, Any]:
    columns, *lines = map(orjson.loads, gzip.decompress(path.read_bytes()).splitlines())
    place = columns.index(column)
    rest = [line[:place] + line[place + 1 :] for line in [columns, *lines]]
    content = gzip.compress(b"\n".join(map(orjson.dumps, rest)))
    path.write_bytes(content)
    return {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
