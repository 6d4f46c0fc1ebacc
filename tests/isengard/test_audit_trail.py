"""The audit trail: what people do on the admin's pages and on the command line, and who it was."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from isengard.management.commands import prepare
from jobs import trail
from jobs.models import Job, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

TRAIL = "admin:admin_logentry_changelist"


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.HOSTNAME = "mill"
    settings.RETENTION = {}
    monkeypatch.setattr(trail, "_person", lambda: "saruman")
    return rows.use_empty_storage(settings, tmp_path)


def entries() -> list[tuple[str | None, str]]:
    return list(LogEntry.objects.order_by("pk").values_list("object_id", "change_message"))


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output, stderr=output)
    return output.getvalue()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("jobs cancel gen-1", [("gen-1", "Cancelled.")]),
        ("queue pause training", [("training", "Paused.")]),
        ("queue resume training", [("training", "Resumed.")]),
        ("queue front gen-1", [("gen-1", "Moved to the front: priority 4.")]),
        ("queue back gen-1", [("gen-1", "Moved to the back: priority 2.")]),
        ("queue prioritise gen-1 --priority 9", [("gen-1", "Given a priority: priority 9.")]),
        ("drain --slot here --finish", [("here", "Drained: what runs here comes to its end.")]),
        ("resume --slot here", [("here", "Takes work again.")]),
        ("cleanup --keep 0", [("gen-9", "Cleaned up, with files of 6 B.")]),
    ],
)
def test_what_a_command_does_is_recorded_with_who_gave_it(command: str, expected: list[tuple[str, str]]) -> None:
    rows.new_slot("here")
    rows.new_job("gen-1")
    rows.new_job("gen-2", priority=3)
    rows.publish(rows.new_job("gen-9", status=Status.FAILED, completed_at="2026-01-01T00:00:00Z"), "gen-9-0.png")
    run(*command.split())
    assert entries() == [(object_id, f"{message} (by saruman on mill)") for object_id, message in expected]
    user = LogEntry.objects.get().user
    assert (user.username, user.is_active, user.has_usable_password()) == ("command-line", False, False)


def test_a_command_that_only_looks_or_is_refused_leaves_no_entry() -> None:
    rows.new_job("gen-1", status=Status.COMPLETED)
    run("queue", "status")
    run("cleanup", "--dry-run", "--keep", "0")
    with pytest.raises(CommandError, match="gen-1"):
        run("jobs", "cancel", "gen-1")
    assert entries() == []


def test_failed_jobs_are_retried_by_id_and_the_others_are_named() -> None:
    rows.new_job("gen-1", status=Status.FAILED)
    rows.new_job("gen-2")
    with pytest.raises(CommandError, match="gen-2 is queued"):
        run("jobs", "retry", "gen-2", "gen-1")
    again = Job.objects.get(order__retry_of="gen-1")
    assert entries() == [("gen-1", f"Retried as {again.pk}. (by saruman on mill)")]


def test_an_installation_that_was_first_used_from_the_command_line_gets_its_admin() -> None:
    run("queue", "pause", "training")
    prepare.Command().handle()
    assert User.objects.filter(username="admin", is_superuser=True).exists()


def test_everybody_sees_the_trail_and_nobody_can_change_it(client: Client, admin_client: Client) -> None:
    run("queue", "pause", "training")
    client.force_login(rows.viewer())
    page = client.get(reverse(TRAIL)).content.decode()
    assert "Paused. (by saruman on mill)" in page
    assert reverse("admin:jobs_queuestate_change", args=["training"]) in page
    entry = LogEntry.objects.get()
    for action in ("change", "delete"):
        address = reverse(f"admin:admin_logentry_{action}", args=[entry.pk])
        assert admin_client.post(address, {"post": "yes", "change_message": "nothing"}).status_code == 403
    assert admin_client.get(reverse("admin:admin_logentry_add")).status_code == 403
    assert 'name="action"' not in admin_client.get(reverse(TRAIL)).content.decode()


def test_who_left_entries_cannot_be_deleted_and_their_entries_with_them(admin_client: Client) -> None:
    run("queue", "pause", "training")
    user = User.objects.get(username="command-line")
    admin_client.post(reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"})
    assert len(entries()) == 1
    assert User.objects.filter(pk=user.pk).exists()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"person": "command-line"}, {"training"}),
        ({"person": "admin"}, {"gen-1"}),
        ({"thing": "jobs.queuestate"}, {"training"}),
        ({"done": "deleted"}, set()),
        ({"q": "gen-1"}, {"gen-1"}),
        ({"action_time_to": "2026-01-01"}, set()),
        ({"action_time_from": "2026-01-01"}, {"training", "gen-1"}),
    ],
)
def test_the_trail_is_narrowed_by_person_kind_and_day(
    admin_client: Client, query: dict[str, str], expected: set[str]
) -> None:
    run("queue", "pause", "training")
    rows.new_job("gen-1")
    admin_client.post(reverse("admin:jobs_job_act", args=["gen-1"]), {"verb": "cancel"})
    listed = admin_client.get(reverse(TRAIL), query)
    assert {entry.object_id for entry in listed.context["cl"].queryset} == expected
    exported = admin_client.get(reverse("admin:admin_logentry_export", args=["json"]), query)
    assert {entry["id"] for entry in json.loads(exported.getvalue())} == expected


def test_the_last_day_that_there_is_narrows_nothing(admin_client: Client) -> None:
    trail.note("jobs", "Looked at.")
    last = {"action_time_to": "9999-12-31"}
    assert admin_client.get(reverse(TRAIL), last).context["cl"].result_count == 1
    export = admin_client.get(reverse("admin:admin_logentry_export", args=["csv"]), last)
    assert "Looked at." in export.getvalue().decode()


def test_the_trail_is_read_in_as_many_queries_whatever_its_length(admin_client: Client) -> None:
    def queries_with(first: int, last: int) -> int:
        trail.note_change([rows.new_job(f"gen-{number}") for number in range(first, last)], "Touched.")
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(reverse(TRAIL)).status_code == 200
        return len(captured)

    queries_with(0, 1)
    assert queries_with(1, 3) == queries_with(3, 40)
