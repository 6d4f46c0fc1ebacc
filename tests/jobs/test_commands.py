"""`manage.py jobs` and `manage.py queue`: what a maintainer sees and does on the command line."""

import json
import os
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from jobs import log, queue
from jobs.log_reading import LogFollower
from jobs.models import Job, Status
from tests.conftest import wait_until
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return rows.use_empty_storage(settings, tmp_path)


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


class HeldBack:
    """A place that a thread reaches, and where it stays until it is let go on."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()

    def wait(self) -> bool:
        self.is_reached.set()
        return self.may_go_on.wait(60)


def ids_in(said: str) -> list[str]:
    return [entry["id"] for entry in json.loads(said)]


# jobs list and show


def test_the_list_is_a_table_with_the_newest_first() -> None:
    rows.new_job(
        "gen-1", created_at="2026-01-01T00:00:00Z", progress=40, current_step=4, message="Image 1/1: step 4/10"
    )
    rows.new_job("train-1", kind="training", status=Status.FAILED, error_message="out of\nmemory")
    heading, first, second = run("jobs", "list").splitlines()
    assert heading.split()[:3] == ["ID", "KIND", "STATUS"]
    assert first.startswith("train-1  training    failed")
    assert "out of memory" in first
    assert "40 %" in second
    assert "4/10" in second


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (("--kind", "training"), ["train-1"]),
        (("--status", "failed", "--status", "queued"), ["train-1", "gen-1"]),
        (("--status", "running"), []),
        (("--limit", "1"), ["train-1"]),
    ],
)
def test_the_list_shows_what_is_wanted(wanted: tuple[str, ...], expected: list[str]) -> None:
    rows.new_job("gen-1", created_at="2026-01-01T00:00:00Z")
    rows.new_job("train-1", kind="training", status=Status.FAILED)
    assert ids_in(run("jobs", "list", "--json", *wanted)) == expected


def test_a_job_is_shown_with_everything_in_json() -> None:
    job = rows.running_job("gen-1", rows.new_slot())
    rows.publish(job, "gen-1-0.png")
    shown = json.loads(run("jobs", "show", "gen-1", "--json"))
    assert shown["config"] == {"prompt": "picture of gen-1"}
    assert shown["holder"]["worker"]["pid"] == 4711
    assert shown["artifacts"][0]["name"] == "gen-1-0.png"
    assert shown["created_at"].endswith("Z")


def test_a_job_is_shown_to_people_line_by_line() -> None:
    rows.new_job("gen-1", status=Status.FAILED, error_message="out of memory")
    lines = run("jobs", "show", "gen-1").splitlines()
    assert "status:          failed" in lines
    assert "error_message:   out of memory" in lines
    assert '    "prompt": "picture of gen-1"' in lines


@pytest.mark.parametrize("action", [("show",), ("tail",), ("tail", "--follow"), ("cancel",)])
def test_an_unknown_id_is_said_in_one_line(action: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"^Job gen-0 not found\.$"):
        run("jobs", *action, "gen-0")


# jobs tail


def test_the_tail_of_a_log_reads_on_from_the_archive_into_the_rows() -> None:
    job = rows.new_job("gen-1", status=Status.FAILED)
    for number in range(3):
        log.write(job.pk, f"line {number}", event="engine.console", step=number)
    log.archive(job)
    log.write(job.pk, "the last", event="job.retried")
    lines = run("jobs", "tail", "gen-1", "--lines", "2").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO    engine.console: line 2 [step=2]",
        "INFO    job.retried: the last",
    ]


def test_the_tail_of_a_log_in_json_is_a_line_each() -> None:
    log.write(rows.new_job("gen-1").pk, "hello", event="job.accepted")
    (line,) = run("jobs", "tail", "gen-1", "--json").splitlines()
    assert json.loads(line)["message"] == "hello"


def test_a_log_whose_file_is_gone_is_said_in_one_line() -> None:
    rows.new_job("gen-1", status=Status.FAILED, log_key="logs/gone.jsonl")
    with pytest.raises(CommandError, match="log of gen-1 cannot be read"):
        run("jobs", "tail", "gen-1")


def test_following_a_job_that_has_ended_ends_at_once() -> None:
    log.write(rows.new_job("gen-1", status=Status.FAILED).pk, "over", event="job.failed")
    assert "over" in run("jobs", "tail", "gen-1", "--follow")


@pytest.fixture
def last_look(monkeypatch: pytest.MonkeyPatch) -> HeldBack:
    """Hold whoever follows a log where it has seen that the job is over, before its last look."""
    held, is_over = HeldBack(), LogFollower.is_over

    def is_over_and_held(follower: LogFollower) -> bool:
        found = is_over(follower)
        return found and held.wait()

    monkeypatch.setattr(LogFollower, "is_over", is_over_and_held)
    return held


@pytest.mark.django_db(transaction=True)
def test_following_tells_each_line_once_though_the_log_is_archived_meanwhile(last_look: HeldBack) -> None:
    job = rows.running_job("gen-1", rows.new_slot())
    log.write(job.pk, "first", event="engine.console")
    output = StringIO()

    def follow() -> None:
        try:
            call_command("jobs", "tail", "gen-1", "--follow", stdout=output)
        finally:
            connection.close()

    watcher = threading.Thread(target=follow)
    watcher.start()
    wait_until(lambda: "first" in output.getvalue(), what="the first line")
    log.write(job.pk, "second", event="engine.console")
    wait_until(lambda: "second" in output.getvalue(), what="the second line")
    end(job)
    # A run writes its last lines after its status.
    assert last_look.is_reached.wait(60)
    log.write(job.pk, "third", event="job.failed")
    log.archive(job)
    last_look.may_go_on.set()
    watcher.join(60)
    assert not watcher.is_alive()
    assert [line.rsplit(" ", 1)[1] for line in output.getvalue().splitlines()] == ["first", "second", "third"]


def end(job: Job) -> None:
    claimed = {"token": "", "slot": "", "holder": None, "gpu": None}
    Job.objects.filter(pk=job.pk).update(status=Status.FAILED, completed_at=timezone.now(), **claimed)


# jobs cancel


def test_jobs_are_cancelled_by_id() -> None:
    rows.new_job("gen-1")
    rows.new_job("gen-2")
    assert run("jobs", "cancel", "gen-1", "gen-2").count("is cancelled") == 2
    assert set(Job.objects.values_list("status", flat=True)) == {"cancelled"}


def test_with_an_unknown_id_among_them_none_is_cancelled() -> None:
    rows.new_job("gen-1")
    with pytest.raises(CommandError, match="gen-0 not found"):
        run("jobs", "cancel", "gen-1", "gen-0")
    assert Job.objects.get().status == Status.QUEUED


def test_a_job_that_had_ended_is_said_after_the_others_were_cancelled() -> None:
    rows.new_job("gen-1", status=Status.COMPLETED)
    rows.new_job("gen-2")
    with pytest.raises(CommandError, match="gen-1: Cannot cancel job in completed state"):
        run("jobs", "cancel", "gen-1", "gen-2")
    assert Job.objects.get(pk="gen-2").status == Status.CANCELLED


# queue


def test_the_status_counts_what_waits_runs_and_stops() -> None:
    slot = rows.new_slot()
    rows.new_slot("generation@http://old:8188", heartbeat_at="2026-01-01T00:00:00Z")
    rows.running_job("gen-1", slot)
    rows.running_job("gen-2", slot, status=Status.QUEUED)
    rows.running_job("gen-3", slot, status=Status.CANCELLED, completed_at=timezone.now())
    rows.new_job("gen-4", created_at="2026-01-01T00:00:00Z")
    rows.new_job("gen-5", status=Status.COMPLETED)
    (generation,) = [each for each in json.loads(run("queue", "status", "--json")) if each["kind"] == "generation"]
    counted = [generation[name] for name in ("waiting", "claimed", "running", "stopping")]
    assert counted == [1, 1, 1, 1]
    assert generation["oldest_waiting_at"] == "2026-01-01T00:00:00Z"
    assert generation["served_slots"] == [slot.name]
    assert generation["silent_slots"] == ["generation@http://old:8188"]
    assert {holding["job_id"] for holding in generation["holdings"]} == {"gen-1", "gen-2", "gen-3"}


def test_the_status_names_kinds_without_jobs_and_who_holds_a_gpu() -> None:
    rows.running_job("gen-1", rows.new_slot())
    said = run("queue", "status")
    assert "training    open" in said
    assert "here GPU 0: held by gen-1 (running)" in said


def test_a_queue_is_paused_and_resumed() -> None:
    rows.new_job("train-1", kind="training")
    assert "paused" in run("queue", "pause", "training")
    assert queue.is_paused("training")
    assert "training    paused  1" in run("queue", "status")
    assert "1 waiting" in run("queue", "resume", "training")
    assert not queue.is_paused("training")


def test_resuming_rings_for_what_waits() -> None:
    rows.new_slot("training@here#gpu0", kind="training", capacity=1)
    rows.new_job("train-1", kind="training")
    before = rows.count_rings("training")
    run("queue", "resume", "training")
    assert rows.count_rings("training") == before + 1


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(CommandError, match=r"upscaling.*generation"):
        run("queue", "pause", "upscaling")


# as a process


def test_an_unknown_id_ends_the_process_with_1_and_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "ISENGARD_DATA_DIR": str(tmp_path / "data")}
    for command, status in ((["prepare"], 0), (["jobs", "cancel", "gen-0"], 1)):
        ended = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=PROJECT, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == status, ended.stderr
    assert ended.stderr == "CommandError: Job gen-0 not found.\n"
