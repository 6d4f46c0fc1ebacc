"""The auditor of the fault runs finds each violation that is planted, and nothing where there is none."""

import json
import os
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from tests.faults.harness.audit_files import audit_files, unnamed_files
from tests.faults.harness.audit_jobs import audit_jobs
from tests.faults.harness.audit_processes import DATA_DIR_VARIABLE, audit_processes
from tests.faults.harness.audit_streams import audit_streams
from tests.faults.harness.auditor import age
from tests.faults.harness.faults import choices
from tests.faults.harness.finding import Finding
from tests.faults.harness.followers import Story
from tests.faults.harness.gifts import lora
from tests.faults.harness.ledger import Promise
from tests.faults.harness.orders import planned_orders
from tests.faults.harness.rows import Rows, sqlite_rows
from tests.faults.harness.schedule import planned_strikes
from tests.faults.harness.tally import Tally
from tests.faults.harness.witness import JOB_VARIABLE, Work, doubled

# The columns that the auditor reads, and no others.
TABLES = """
CREATE TABLE jobs_job (id, kind, status, attempt, crashes, token, holder, gpu_id, error_message, output_key, config,
                       log_key, progress);
CREATE TABLE jobs_attempt (job_id, number, claimed_at, ended_at, outcome, reason);
CREATE TABLE jobs_artifact (job_id, type, name, key, size_bytes);
CREATE TABLE characters_lora (job_id, key, character_id, version, size_bytes, sha256);
CREATE TABLE characters_trainingimage (key, bytes, sha256);
CREATE TABLE generation_inputimage (key, size_bytes, sha256);
"""
GENERATION, TRAINING = "gen-1", "train-1"
OUTPUT, MODEL = "outputs/gen-1/1/gen-1-0.png", "loras/char-1/v1.safetensors"
CONFIG = {"seed": 7}


class Place:
    """A data directory and a database after a run without a flaw: one generation and one training."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.rows: Rows = sqlite_rows(self.data_dir / "isengard.sqlite3")
        (self.data_dir / "workspaces").mkdir(parents=True)
        with closing(self._database()) as database:
            database.executescript(TABLES)
        for job, kind, output_key in ((GENERATION, "generation", ""), (TRAINING, "training", MODEL)):
            facts = (job, kind, "completed", 1, 0, "", None, None, None, output_key, json.dumps(CONFIG), "", 100)
            self.write("INSERT INTO jobs_job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *facts)
            self.write("INSERT INTO jobs_attempt VALUES (?, 1, '10:00', '10:01', 'completed', '')", job)
        self._put_picture(OUTPUT)
        size = self.put(MODEL, lora(1))
        self.write("INSERT INTO jobs_artifact VALUES (?, 'output', 'gen-1-0.png', ?, NULL)", GENERATION, OUTPUT)
        self.write("INSERT INTO characters_lora VALUES (?, ?, 'char-1', 1, ?, NULL)", TRAINING, MODEL, size)

    def _database(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.data_dir / "isengard.sqlite3")
        # No test is about power cuts, and each commit would wait for the disk.
        database.execute("PRAGMA synchronous = OFF")
        return database

    def write(self, statement: str, *values: object) -> None:
        with closing(self._database()) as database, database:
            database.execute(statement, values)

    def put(self, key: str, content: bytes) -> int:
        path = self.data_dir / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.write_bytes(content)

    def _put_picture(self, key: str) -> None:
        path = self.data_dir / key
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)

    def promises(self) -> list[Promise]:
        orders = planned_orders(1, 2)
        kinds = ((GENERATION, "generation"), (TRAINING, "training"))
        return [Promise(job, order, kind, CONFIG, 1) for (job, kind), order in zip(kinds, orders, strict=True)]

    def audited(self) -> list[Finding]:
        return audit_jobs(self.rows, self.promises()) + audit_files(self.rows, self.data_dir)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def kinds_of(findings: list[Finding]) -> set[str]:
    return {finding.kind for finding in findings}


def test_a_run_without_a_flaw_gives_no_finding(place: Place) -> None:
    assert place.audited() == []
    assert Tally({"jobs": 2}, place.audited()).is_clean


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        ("DELETE FROM jobs_job WHERE id = 'gen-1'", "lost"),
        (
            "INSERT INTO jobs_job (id, kind, status, attempt, crashes) VALUES ('gen-2', '', 'completed', 0, 0)",
            "doubled",
        ),
        ("UPDATE jobs_job SET status = 'running' WHERE id = 'gen-1'", "stuck"),
        ("UPDATE jobs_job SET holder = '{}' WHERE id = 'gen-1'", "stuck"),
        ("UPDATE jobs_job SET gpu_id = 1 WHERE id = 'gen-1'", "stuck"),
        ("UPDATE jobs_job SET status = 'failed', error_message = 'bad luck' WHERE id = 'gen-1'", "lost"),
        ("UPDATE jobs_job SET status = 'cancelled' WHERE id = 'gen-1'", "wrong result"),
        ("UPDATE jobs_job SET config = '{}' WHERE id = 'gen-1'", "wrong result"),
        ("UPDATE jobs_job SET crashes = 1 WHERE id = 'gen-1'", "wrong result"),
        ("DELETE FROM jobs_attempt WHERE job_id = 'gen-1'", "lost"),
        ("UPDATE jobs_attempt SET ended_at = NULL", "stuck"),
        ("DELETE FROM jobs_artifact", "lost"),
        ("DELETE FROM characters_lora", "lost"),
        ("UPDATE jobs_job SET status = 'cancelled' WHERE id = 'train-1'", "wrong result"),
        ("INSERT INTO characters_lora VALUES ('train-1', 'loras/char-1/v2', 'char-1', 2, 1, NULL)", "doubled"),
        ("INSERT INTO characters_lora VALUES ('train-2', 'loras/char-1/w1', 'char-1', 1, 1, NULL)", "doubled"),
    ],
)
def test_a_planted_row_is_found(place: Place, planted: str, kind: str) -> None:
    place.write(planted)
    assert kind in kinds_of(audit_jobs(place.rows, place.promises()))


def test_attempts_that_overlap_are_found(place: Place) -> None:
    place.write("UPDATE jobs_job SET attempt = 2 WHERE id = 'gen-1'")
    place.write("INSERT INTO jobs_attempt VALUES ('gen-1', 2, '10:00:30', '10:02', 'completed', '')")
    assert kinds_of(place.audited()) == {"doubled"}


def test_a_job_that_crashed_three_times_may_fail(place: Place) -> None:
    place.write(
        "UPDATE jobs_job SET status = 'failed', attempt = 3, crashes = 3, error_message = 'x' WHERE id = 'gen-1'"
    )
    place.write("UPDATE jobs_attempt SET outcome = 'crashed' WHERE job_id = 'gen-1'")
    for number in (2, 3):
        place.write("INSERT INTO jobs_attempt VALUES ('gen-1', ?, '10:02', '10:02', 'crashed', '')", number)
    assert place.audited() == []


def test_a_cancel_that_was_confirmed_has_to_hold(place: Place) -> None:
    promises = place.promises()
    promises[0].cancelling = "confirmed"
    assert kinds_of(audit_jobs(place.rows, promises)) == {"wrong result"}


def test_a_file_that_no_row_names_is_found(place: Place) -> None:
    place.put("outputs/gen-9/1/gen-9-0.png", b"")
    place.put("tmp/upload", b"half a photo")
    place.put("elsewhere/file", b"")
    assert kinds_of(place.audited()) == {"orphan or partial file"}
    assert len(unnamed_files(place.rows, place.data_dir)) == 3


def test_half_written_files_and_left_workspaces_are_found(place: Place) -> None:
    place.put("loras/char-1/.abc.part", b"")
    (place.data_dir / "workspaces" / "train-1").mkdir()
    assert len(unnamed_files(place.rows, place.data_dir)) == 2


def test_thumbnails_belong_to_their_picture(place: Place) -> None:
    place.put(f"thumbnails/{OUTPUT}/320.webp", b"")
    place.put("thumbnails/outputs/gone.png/320.webp", b"")
    assert unnamed_files(place.rows, place.data_dir) == ["thumbnails/outputs/gone.png/320.webp"]


@pytest.mark.parametrize("content", [b"", lora(1)[:-1], struct.pack("<Q", 2**40), b"not a LoRA at all"])
def test_a_broken_lora_is_found(place: Place, content: bytes) -> None:
    size = place.put(MODEL, content)
    place.write("UPDATE characters_lora SET size_bytes = ?", size)
    assert kinds_of(place.audited()) == {"lost"}


def test_a_missing_file_a_short_one_and_a_torn_picture_are_found(place: Place) -> None:
    whole = (place.data_dir / OUTPUT).read_bytes()
    place.put(OUTPUT, whole[:-20])
    assert kinds_of(place.audited()) == {"lost"}
    (place.data_dir / OUTPUT).unlink()
    assert kinds_of(place.audited()) == {"lost"}


def test_other_bytes_than_the_row_names_are_found(place: Place) -> None:
    place.write("UPDATE characters_lora SET sha256 = ?", "0" * 64)
    assert kinds_of(place.audited()) == {"lost"}


def test_ageing_makes_every_stored_file_old_and_leaves_the_database(place: Place) -> None:
    age(place.data_dir)
    times = {path.name: path.stat().st_mtime for path in place.data_dir.rglob("*") if path.is_file()}
    assert times[Path(OUTPUT).name] == times[Path(MODEL).name] < times["isengard.sqlite3"] - 7000


def test_a_process_that_nobody_expects_is_found(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "input()"]
    marks = ({DATA_DIR_VARIABLE: str(tmp_path)}, {JOB_VARIABLE: "train-of-this-test"}, {})
    strays = [subprocess.Popen(argv, stdin=subprocess.PIPE, env=os.environ | mark) for mark in marks]
    try:
        expected = [strays[0].pid]
        jobs = {"train-of-this-test"}
        assert len(audit_processes(data_dir=str(tmp_path), jobs=jobs, expected=())) == 2
        assert len(audit_processes(data_dir=str(tmp_path), jobs=jobs, expected=expected)) == 1
    finally:
        for stray in strays:
            stray.communicate(b"\n")
    assert audit_processes(data_dir=str(tmp_path), jobs=jobs, expected=()) == []


@pytest.mark.parametrize(
    ("ids", "complete"),
    [
        (["1-1", "1-2", "1-2"], {"status": "completed", "progress": 100, "attempt": 1}),
        (["1-2", "1-1"], {"status": "completed", "progress": 100, "attempt": 1}),
        (["1-1"], {"status": "failed", "progress": 100, "attempt": 1}),
        (["1-1"], None),
    ],
)
def test_a_broken_stream_is_found(place: Place, ids: list[str], complete: dict | None) -> None:
    story = Story(GENERATION, ids=["0-0", "0-0.1", *ids], complete=complete)
    assert kinds_of(audit_streams(place.rows, [story])) == {"broken stream"}


def test_a_stream_in_order_that_ends_as_the_row_says_is_fine(place: Place) -> None:
    story = Story(
        GENERATION, ["0-0", "0-0.1", "1-2", "1-10", "2-0"], {"status": "completed", "progress": 100, "attempt": 1}
    )
    assert audit_streams(place.rows, [story]) == []


def test_two_attempts_at_work_at_once_are_seen_and_two_processes_of_one_are_not() -> None:
    twice = [Work("gen-1", 1, "server a"), Work("gen-1", 2, "server b")]
    once = [Work("train-1", 1, "process 1"), Work("train-1", 1, "process 2"), Work("gen-2", 1, "server a")]
    assert doubled(twice + once) == [twice]


def test_a_seed_gives_the_same_orders_and_strikes_every_time() -> None:
    usable = choices({"redis", "comfyui-a", "comfyui-b"}, with_slow=True)
    first, again, other = (planned_strikes(seed, faults=40, jobs=100, usable=usable) for seed in (1, 1, 2))
    assert first == again != other
    assert planned_orders(1, 50) == planned_orders(1, 50) != planned_orders(2, 50)
    assert [strike.after_ended for strike in first] == sorted(strike.after_ended for strike in first)


def test_faults_of_a_server_that_is_not_there_and_slow_ones_are_left_out() -> None:
    short = {each.name for each in choices({"redis"}, with_slow=False)}
    assert {"kill redis", "kill web", "cut connections to web"} <= short
    assert not {"kill postgresql", "kill comfyui-a", "stop training worker for more than a minute"} & short
