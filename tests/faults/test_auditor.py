"""The auditor of the fault runs finds each violation that is planted, and nothing where there is none."""

import os
import struct
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.harness.audit_files import unnamed_files
from tests.faults.harness.audit_jobs import audit_jobs
from tests.faults.harness.audit_processes import DATA_DIR_VARIABLE, audit_processes, lasting
from tests.faults.harness.audit_streams import audit_streams
from tests.faults.harness.auditor import age
from tests.faults.harness.finding import Finding
from tests.faults.harness.followers import Story
from tests.faults.harness.gifts import lora
from tests.faults.harness.specimen import GENERATION, MODEL, OUTPUT, Place
from tests.faults.harness.tally import Tally
from tests.faults.harness.witness import JOB_VARIABLE


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def fail_after_crashes(place: Place, why: str) -> None:
    place.write("UPDATE jobs_job SET status = 'failed', attempt = 3, crashes = 3 WHERE id = 'gen-1'")
    place.write("UPDATE jobs_job SET error_message = ? WHERE id = 'gen-1'", why)
    place.write("UPDATE jobs_attempt SET outcome = 'crashed' WHERE job_id = 'gen-1'")
    for number in (2, 3):
        place.write("INSERT INTO jobs_attempt VALUES ('gen-1', ?, '10:02', '10:02', 'crashed', '')", number)


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
    fail_after_crashes(place, "Gave up after 3 crashes without a new checkpoint in between.")
    assert place.audited() == []


@pytest.mark.parametrize(
    "why",
    [
        "Isengard itself failed (TypeError); the operator finds the cause in the log.",
        "Gave up after 3 crashes. The last one: Isengard itself failed (TypeError).",
        "The engine ended without a result.",
        "",
    ],
)
def test_no_crash_excuses_a_failure_in_other_words(place: Place, why: str) -> None:
    fail_after_crashes(place, why)
    assert kinds_of(place.audited()) == {"lost"}


def test_the_words_of_a_job_given_up_do_not_excuse_one_that_never_crashed(place: Place) -> None:
    place.write("UPDATE jobs_job SET status = 'failed', error_message = 'Gave up after 3 crashes' WHERE id = 'gen-1'")
    assert kinds_of(place.audited()) == {"lost"}


@pytest.mark.parametrize("outcome", ["completed", "cancelled"])
def test_a_job_that_was_done_twice_one_after_the_other_is_found(place: Place, outcome: str) -> None:
    place.write("UPDATE jobs_job SET attempt = 2 WHERE id = 'gen-1'")
    place.write("UPDATE jobs_attempt SET outcome = ? WHERE job_id = 'gen-1'", outcome)
    place.write("INSERT INTO jobs_attempt VALUES ('gen-1', 2, '10:02', '10:03', 'completed', '')")
    assert kinds_of(place.audited()) == {"doubled"}


def test_a_deadline_that_was_too_short_has_to_end_the_job_and_nobody_minds(place: Place) -> None:
    promises = place.promises()
    promises[1].order = replace(promises[1].order, is_hopeless=True)
    assert kinds_of(audit_jobs(place.rows, promises)) == {"wrong result"}
    place.write("UPDATE jobs_job SET status = 'cancelled' WHERE id = 'train-1'")
    place.write("DELETE FROM characters_lora")
    assert audit_jobs(place.rows, promises) == []


def test_a_job_that_was_begun_before_its_time_is_found(place: Place) -> None:
    promises = place.promises()
    promises[0].not_before = "2026-11-23T10:00:05.000+00:00"
    place.write("UPDATE jobs_attempt SET claimed_at = '2026-11-23 10:00:04.999', ended_at = '2026-11-23 10:01:00'")
    assert kinds_of(audit_jobs(place.rows, promises)) == {"wrong result"}
    place.write("UPDATE jobs_attempt SET claimed_at = '2026-11-23 10:00:05.000'")
    assert audit_jobs(place.rows, promises) == []


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
    argv = [sys.executable, "-c", "print(flush=True); input()"]
    # The whole machine is looked at, and this test may run there twice.
    job = f"train-{uuid.uuid4().hex}"
    marks = ({DATA_DIR_VARIABLE: str(tmp_path)}, {JOB_VARIABLE: job}, {})
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    strays = [subprocess.Popen(argv, env=os.environ | mark, **pipes) for mark in marks]
    try:
        for stray in strays:
            # Only a program that runs has its environment for sure.
            stray.stdout.readline()
        expected = [strays[0].pid]
        jobs = {job}
        assert len(audit_processes(data_dir=str(tmp_path), jobs=jobs, expected=())) == 2
        assert len(audit_processes(data_dir=str(tmp_path), jobs=jobs, expected=expected)) == 1
        # An engine is a child of its worker, and of the supervisor; at rest there is none even there.
        family = [stray.pid for stray in strays]
        assert len(audit_processes(data_dir=str(tmp_path), jobs=jobs, expected=family)) == 1
    finally:
        for stray in strays:
            stray.communicate(b"\n")
    assert audit_processes(data_dir=str(tmp_path), jobs=jobs, expected=()) == []


def test_a_process_on_its_way_out_is_no_finding_and_one_that_stays_is() -> None:
    stray = Finding("orphan process", "it is still there")
    looks = iter([[stray], []])
    assert lasting(lambda: next(looks)) == []
    assert lasting(lambda: [stray], seconds=0) == [stray]


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
