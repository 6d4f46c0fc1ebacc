"""`manage.py doctor`: what is wrong, how bad that is, and what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from kombu import Queue

from isengard.doctor import Level, examine
from jobs import queue
from jobs.models import Job, Slot
from jobs.progress.writer import connection as redis_connection
from tests.isengard.doctor_findings import findings, the_finding

pytest_plugins = ("tests.isengard.doctor_fixtures",)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy_host")]

PROJECT = Path(__file__).resolve().parents[2]
LONG_AGO = "2026-01-01T00:00:00Z"


def test_a_healthy_host_is_called_healthy() -> None:
    output = StringIO()
    call_command("doctor", stdout=output)
    *lines, last = output.getvalue().splitlines()
    assert last.startswith("Healthy: ")
    assert last.endswith("0 warning, 0 failed.")
    # What is well and could be better is followed by advice.
    assert all(line.startswith(("ok ", "  ")) for line in lines)


def test_each_area_is_looked_at() -> None:
    areas = {finding.area for finding in examine()}
    common = {"settings", "data", "database", "redis", "maintenance"}
    assert areas == common | {"training worker", "ai-toolkit", "gpu", "generation worker", "comfyui"}


@pytest.mark.parametrize(
    ("part", "left_out"), [("training", {"comfyui", "generation worker"}), ("generation", {"gpu"})]
)
def test_a_part_leaves_out_what_it_does_not_need(part: str, left_out: set[str]) -> None:
    areas = {finding.area for finding in examine(part)}
    assert {"settings", "database", "redis", f"{part} worker"} <= areas
    assert not areas & left_out


def test_findings_are_json_for_machines() -> None:
    output = StringIO()
    call_command("doctor", "--json", stdout=output)
    described = json.loads(output.getvalue())
    assert {"level", "area", "text", "advice"} == set(described[0])
    assert {entry["level"] for entry in described} == {"ok"}


def test_what_failed_is_counted_and_ends_the_command() -> None:
    Slot.objects.all().delete()
    output = StringIO()
    with pytest.raises(CommandError, match=r"Not healthy: \d+ ok, 0 warning, 2 failed\."):
        call_command("doctor", stdout=output)
    assert "→ Start everything with `make run`" in output.getvalue()


# a process of its own: nothing is there yet


@pytest.mark.parametrize("arguments", [[], ["generation"]])
def test_without_a_database_and_redis_the_doctor_says_so_and_makes_nothing(
    tmp_path: Path, arguments: list[str]
) -> None:
    environment = {**os.environ, "ISENGARD_DATA_DIR": str(tmp_path / "data"), "COMFYUI_URL": "http://127.0.0.1:9"}
    ended = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("CommandError: Not healthy")
    failed = {entry["area"] for entry in json.loads(ended.stdout) if entry["level"] == "failed"}
    assert {"database", "redis", "generation worker", "comfyui"} <= failed
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {"secret_key"}


# settings and data directory


def test_a_short_secret_is_a_warning_in_production(settings: Any) -> None:
    settings.SECRET_KEY = "short"
    assert findings() == []
    settings.IS_PRODUCTION = True
    assert any("SECRET_KEY has only 5 characters" in finding.text for finding in findings())
    assert all("short" not in finding.text for finding in findings())


@pytest.mark.parametrize(
    ("hosts", "words"), [(["*"], "allows every name"), (["localhost"], "only this machine is answered")]
)
def test_allowed_hosts_that_fit_no_server_are_a_warning(settings: Any, hosts: list[str], words: str) -> None:
    settings.IS_PRODUCTION = True
    settings.ALLOWED_HOSTS = hosts
    assert any(words in finding.text and finding.level == Level.WARNING for finding in findings())


def test_debug_is_a_failure(settings: Any) -> None:
    settings.DEBUG = True
    assert the_finding().level == Level.FAILED


def test_a_data_directory_that_cannot_be_written_is_a_failure(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    settings.DATA_DIR = tmp_path / "file"
    finding = the_finding()
    assert (finding.level, finding.area) == (Level.FAILED, "data")


@pytest.mark.parametrize(("bound", "level"), [("LOW_SPACE_BYTES", Level.WARNING), ("NO_SPACE_BYTES", Level.FAILED)])
def test_a_disk_that_fills_up_is_told(monkeypatch: pytest.MonkeyPatch, bound: str, level: Level) -> None:
    monkeypatch.setattr(f"isengard.doctor.host.{bound}", float("inf"))
    finding = the_finding()
    assert (finding.level, finding.area) == (level, "data")


def test_below_the_floor_what_no_longer_works_is_told(settings: Any) -> None:
    settings.MIN_FREE_BYTES = 10**18
    finding = the_finding()
    assert (finding.level, finding.area) == (Level.FAILED, "data")
    assert "uploads are refused and jobs wait" in finding.text


# database


def test_a_migration_that_is_not_applied_is_a_failure() -> None:
    ((app, newest),) = MigrationLoader(connection).graph.leaf_nodes("jobs")
    MigrationRecorder(connection).record_unapplied(app, newest)
    finding = the_finding()
    assert (finding.level, finding.area) == (Level.FAILED, "database")
    assert f"jobs.{newest}" in finding.text


def test_a_database_that_is_newer_than_the_program_is_a_warning() -> None:
    MigrationRecorder(connection).record_applied("jobs", "9999_from_the_future")
    finding = the_finding()
    assert (finding.level, finding.area) == (Level.WARNING, "database")
    assert "jobs.9999_from_the_future" in finding.text


# Redis


@pytest.fixture
def redis_set() -> Iterator[Any]:
    """Change the server's configuration for one test."""
    before: dict[str, str] = {}

    def change(name: str, value: str) -> None:
        before.update(redis_connection().config_get(name))
        redis_connection().config_set(name, value)

    yield change
    for name, value in before.items():
        redis_connection().config_set(name, value)


def test_a_redis_that_may_forget_messages_is_a_failure(redis_set: Any) -> None:
    redis_set("maxmemory-policy", "allkeys-lru")
    finding = the_finding()
    assert (finding.level, finding.area) == (Level.FAILED, "redis")
    assert "allkeys-lru" in finding.text


def test_a_redis_without_an_append_only_file_is_a_warning(redis_set: Any) -> None:
    redis_set("appendonly", "no")
    finding = the_finding()
    assert (finding.level, finding.area) == (Level.WARNING, "redis")


def test_a_redis_that_is_nearly_full_is_a_failure(redis_set: Any) -> None:
    # Far below what it uses, of which it may let some go before it is looked at.
    redis_set("maxmemory", str(redis_connection().info()["used_memory"] // 2))
    assert any(finding.area == "redis" and "nearly full" in finding.text for finding in findings("training"))


def test_the_password_of_a_redis_is_never_shown(settings: Any) -> None:
    settings.REDIS_URL = "redis://:mellon@redis.example:6380/0"
    told = [finding.text for finding in examine() if finding.area == "redis"]
    assert any("redis.example:6380" in text for text in told)
    assert all("mellon" not in text for text in told)


# workers and queues


@pytest.mark.parametrize("kind", ["training", "generation"])
def test_a_kind_that_nobody_ever_served_is_a_failure(kind: str) -> None:
    Slot.objects.filter(kind=kind).delete()
    finding = the_finding()
    assert (finding.level, finding.area) == (Level.FAILED, f"{kind} worker")
    assert f"manage.py worker {kind}" in finding.advice


def test_a_silent_worker_is_a_failure_and_a_warning_where_another_serves() -> None:
    silent = Slot.objects.get(kind="training")
    Slot.objects.filter(pk=silent.pk).update(heartbeat_at=LONG_AGO)
    assert the_finding().level == Level.FAILED
    Slot.objects.create(name="training@other#gpu0", kind="training", capacity=1, gpu=silent.gpu)
    finding = the_finding()
    assert finding.level == Level.WARNING
    assert silent.pk in finding.text


def test_a_paused_queue_is_a_warning_that_says_how_to_resume() -> None:
    queue.set_paused("training", is_paused=True)
    finding = the_finding()
    assert finding.level == Level.WARNING
    assert "manage.py queue resume training" in finding.advice


def test_a_job_for_which_nobody_rang_is_a_failure_unless_its_queue_is_paused() -> None:
    Job.objects.create(id="train-1", kind="training", created_at=LONG_AGO)
    finding = the_finding()
    assert (finding.level, finding.area) == (Level.FAILED, "maintenance")
    queue.set_paused("training", is_paused=True)
    assert the_finding().area == "training queue"


def test_a_maintenance_queue_that_nobody_consumes_is_a_failure() -> None:
    with current_app.connection_for_write() as broker:
        maintenance = Queue("maintenance").bind(broker.default_channel)
        current_app.send_task("jobs.sweep", queue="maintenance")
        try:
            finding = the_finding("training")
        finally:
            maintenance.purge()
    assert (finding.level, finding.area) == (Level.FAILED, "maintenance")
