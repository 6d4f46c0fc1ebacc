"""The first page of the admin: it tells what runs, waits and broke, and lets operators act on it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from isengard.cockpit.overview import drawing, failures, figures, work
from jobs import queue
from jobs.models import Attempt, GpuLease, Job, LossPoint, Slot, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

FIGURES = {
    "utilization": 97.0,
    "memory_used": 24000.0,
    "memory_total": 24564.0,
    "temperature": 71.0,
    "power_watts": 300,
}


@pytest.fixture(autouse=True)
def _fresh(settings: Any, tmp_path: Path) -> None:
    rows.use_empty_storage(settings, tmp_path)
    figures.forget()


def overview_of(client: Client) -> str:
    response = client.get(reverse("overview"))
    assert response.status_code == 200
    return response.content.decode()


def failed(job_id: str, cause: str, *, minutes_ago: int = 1, why: str = "It broke.") -> Job:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    return rows.new_job(job_id, status=Status.FAILED, failure_cause=cause, error_message=why, completed_at=at)


def test_a_new_installation_says_what_to_do_first(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:index")).content.decode()
    for words in ("Create a character", "manage.py doctor", reverse("docs"), f'href="{reverse("front")}"'):
        assert words in page
    rows.new_job("gen-1")
    assert "Create a character" not in overview_of(admin_client)


def test_the_page_has_its_parts_and_neither_scripts_nor_styles_within(admin_client: Client) -> None:
    rows.one_of_everything()
    page = admin_client.get(reverse("admin:index")).content.decode()
    for part in ("health", "running", "waiting", "broken", "machines", "figures"):
        assert f'data-part="{part}"' in page
    board = page[page.index('id="dashboard"') :]
    board = board[: board.index('data-part="figures"')]
    assert "<script" not in board
    assert "style=" not in board


def test_what_runs_has_a_card_with_all_that_is_measured(admin_client: Client) -> None:
    character, slot = rows.new_character(), rows.new_slot(kind="training", name="training@here:0")
    measured = {"iteration_speed": 2.5, "eta_seconds": 190, "current_loss": 0.1234, "progress": 40}
    job = rows.running_job(
        "train-1", slot, kind="training", character_id=character.pk, current_step=4, attempt=2, **measured
    )
    LossPoint.objects.bulk_create(LossPoint(job=job, step=n, loss=1 / n) for n in range(1, 5))
    page = overview_of(admin_client)
    for words in (
        "Ada Lovelace",
        "2.50 steps/s",
        "3 min 10 s",
        "0.1234",
        "4/10",
        "attempt 2",
        "<polyline",
        "here GPU 0",
    ):
        assert words in page
    assert f'action="{reverse("overview_cancel", args=[job.pk])}"' in page


def test_what_waits_says_its_place_and_why(admin_client: Client) -> None:
    rows.new_job("gen-1")
    rows.new_job("gen-2", priority=5, deadline_at=timezone.now() + timedelta(hours=1))
    rows.new_job("gen-3", run_after=timezone.now() + timedelta(hours=2))
    queue.set_paused("generation", is_paused=True)
    page = overview_of(admin_client)
    waits = page[page.index('data-part="waiting"') : page.index('data-part="broken"')]
    assert waits.index("gen-2") < waits.index("gen-1") < waits.index("gen-3")
    assert "Paused by an operator" in waits
    assert waits.count("deadline") == waits.count("<strong>starts") == 1
    assert "by an operator; 3 waiting" in page


def test_what_broke_is_grouped_by_cause_with_the_newest_job(admin_client: Client) -> None:
    failed("gen-1", "out_of_memory", minutes_ago=50, why="The old one.")
    failed("gen-2", "out_of_memory", minutes_ago=5, why="The new one <b>.")
    failed("gen-3", "", why="Nobody knows.")
    failed("gen-4", "disk_full", minutes_ago=60 * 25)
    groups = failures.breakage(timezone.now()).shown
    assert [(group.cause, group.count, group.newest.pk) for group in groups] == [
        ("Out of memory", 2, "gen-2"),
        ("Of no known cause", 1, "gen-3"),
    ]
    page = overview_of(admin_client)
    assert "The new one &lt;b&gt;." in page
    assert "The old one." not in page
    listed = admin_client.get(groups[0].list_address)
    assert {job.pk for job in listed.context["cl"].queryset} == {"gen-1", "gen-2"}


def test_what_was_retried_leads_to_the_retry_and_is_not_retried_again(admin_client: Client) -> None:
    failed("gen-1", "out_of_memory", minutes_ago=30)
    rows.new_job("gen-2", status=Status.COMPLETED, order={"retry_of": "gen-1"})
    page = overview_of(admin_client)
    retry = reverse("overview_retry", args=["gen-1"])
    assert f'action="{retry}"' not in page
    assert f'Retried as <a href="{reverse("admin:jobs_job_change", args=["gen-2"])}">gen-2</a>, completed' in page
    answer = admin_client.post(retry, follow=True)
    assert "It has been retried already, as gen-2, which is completed." in answer.content.decode()
    assert Job.objects.count() == 2


def test_the_list_of_what_broke_holds_as_many_as_its_badge_says(admin_client: Client) -> None:
    now = timezone.now().replace(second=50)
    for job_id, ago in (("gen-1", timedelta(hours=24, seconds=20)), ("gen-2", timedelta(hours=24, seconds=60))):
        rows.new_job(job_id, status=Status.FAILED, failure_cause="bug", completed_at=now - ago)
    rows.new_job("old-1", kind="of-old", status=Status.FAILED, failure_cause="bug", completed_at=now)
    broken = failures.breakage(now)
    listed = admin_client.get(broken.shown[0].list_address).context["cl"].queryset
    assert broken.shown[0].count == broken.count == 1
    assert [job.pk for job in listed] == ["gen-1"]


def test_what_is_not_shown_is_one_link_away(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = rows.new_slot()
    for n in range(2):
        rows.running_job(f"gen-{n}", slot)
        failed(f"old-{n}", f"cause_{n}")
    assert "at work</a>" not in overview_of(admin_client)
    monkeypatch.setattr(work, "SHOWN_RUNNING", 1)
    monkeypatch.setattr(failures, "SHOWN_CAUSES", 1)
    page = overview_of(admin_client)
    assert '?engine=held">All 2 at work</a>: the first 1 stand here.' in page
    assert "All 2 failures, of 2 causes" in page
    listed = admin_client.get(failures.breakage(timezone.now()).list_address).context["cl"].queryset
    assert {job.pk for job in listed} == {"old-0", "old-1"}


def test_machines_say_what_they_carry_and_what_is_wrong(admin_client: Client) -> None:
    long_ago = timezone.now() - timedelta(minutes=12)
    slot = rows.new_slot(away_since=long_ago)
    rows.new_slot("training@here:0", kind="training", heartbeat_at=long_ago)
    GpuLease.objects.update(figures=FIGURES, figures_at=timezone.now())
    rows.running_job("gen-1", slot)
    page = overview_of(admin_client)
    for words in ("97 %, 300 W", "23.4 of 24.0 GiB", "71 °C", "engine down", "silent", "12 min", "1 of 2: <a"):
        assert words in page


def test_cancel_and_retry_are_done_and_written_down(admin_client: Client, admin_user: User) -> None:
    rows.new_job("gen-1")
    failed("gen-2", "out_of_memory")
    answer = admin_client.post(reverse("overview_cancel", args=["gen-1"]), follow=True)
    assert "is cancelled" in answer.content.decode()
    assert Job.objects.get(pk="gen-1").status == Status.CANCELLED
    admin_client.post(reverse("overview_retry", args=["gen-2"]))
    again = Job.objects.get(order__retry_of="gen-2")
    written = list(LogEntry.objects.order_by("pk").values_list("user", "object_id", "change_message"))
    assert written == [
        (admin_user.pk, "gen-1", "Cancelled from the dashboard."),
        (admin_user.pk, "gen-2", f"Retried from the dashboard as {again.pk}."),
    ]


def test_what_cannot_be_done_any_more_is_said(admin_client: Client) -> None:
    failed("gen-2", "out_of_memory")
    answer = admin_client.post(reverse("overview_cancel", args=["gen-2"]), follow=True)
    assert "Cannot cancel job in failed state" in answer.content.decode()
    assert not LogEntry.objects.exists()
    assert admin_client.post(reverse("overview_retry", args=["gen-9"])).status_code == 404


def test_a_viewer_sees_everything_and_can_do_nothing(client: Client) -> None:
    client.force_login(rows.viewer())
    job = rows.one_of_everything()[Job]
    failed("gen-2", "out_of_memory")
    page = overview_of(client)
    assert job.pk in page
    assert "<form" not in page
    for action in ("overview_cancel", "overview_retry"):
        assert client.post(reverse(action, args=[job.pk])).status_code == 403
        assert client.get(reverse(action, args=[job.pk])).status_code == 405
    assert Job.objects.get(pk=job.pk).status == Status.RUNNING


def test_who_may_not_see_jobs_is_told_so(client: Client) -> None:
    client.force_login(User.objects.create_user("newcomer", password="speak friend", is_staff=True))
    assert "You may not look at jobs" in client.get(reverse("admin:index")).content.decode()
    assert client.get(reverse("overview")).status_code == 403
    client.logout()
    assert client.get(reverse("overview")).status_code == 302


def test_an_act_without_a_token_is_refused(admin_user: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    rows.new_job("gen-1")
    assert strict.post(reverse("overview_cancel", args=["gen-1"])).status_code == 403


def _fill(count: int, slot: Slot) -> None:
    for n in range(count):
        job = rows.running_job(f"train-{count}-{n}", slot, kind="training", character_id=f"char-{count}-{n}")
        rows.new_character(f"char-{count}-{n}")
        LossPoint.objects.create(job=job, step=1, loss=0.5)
        rows.new_job(f"gen-{count}-{n}", character_id="char-1")
        failed(f"gen-x-{count}-{n}", f"cause_{n}")
        rows.new_slot(f"training@here:{count}-{n}", kind="training")


def test_the_number_of_queries_does_not_grow_with_the_rows(admin_client: Client) -> None:
    slot = rows.new_slot("training@here:0", kind="training")
    counts = []
    for more in (11, 9):
        _fill(more, slot)
        figures.forget()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            overview_of(admin_client)
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 45


def test_the_figures_of_the_last_days_are_right() -> None:
    now = datetime(2026, 5, 20, 12, tzinfo=UTC)
    slot = rows.new_slot("training@here:0", kind="training")
    rows.new_slot("generation@there", gpu=slot.gpu)
    begun = now - timedelta(hours=14)
    for n, (status, waited) in enumerate([("completed", 10), ("completed", 20), ("failed", 30), ("cancelled", 400)]):
        job = rows.new_job(
            f"gen-{n}",
            status=status,
            created_at=begun - timedelta(seconds=waited),
            started_at=begun,
            completed_at=now - timedelta(hours=1),
        )
    # Across midnight, and the second one within the first on the same GPU.
    Attempt.objects.create(job=job, number=1, slot=slot.name, claimed_at=begun, ended_at=now - timedelta(hours=10))
    Attempt.objects.create(
        job=job, number=2, slot="generation@there", claimed_at=begun, ended_at=now - timedelta(hours=13)
    )
    found = figures.read_figures(now)
    assert dict(found.outcomes[-1]) == {"completed": 2, "failed": 1, "cancelled": 1}
    assert found.gpu_hours[-2:] == [2.0, 2.0]
    assert (found.median_seconds, found.p95_seconds, found.success_percent) == (20.0, 400.0, 67)


def test_a_time_to_start_counts_from_when_the_job_was_allowed_to() -> None:
    now = timezone.now()
    times = {"created_at": now - timedelta(hours=5), "run_after": now - timedelta(minutes=1), "started_at": now}
    rows.new_job("gen-1", status=Status.COMPLETED, **times)
    assert figures.read_figures(now + timedelta(seconds=1)).median_seconds == 60


def test_charts_show_small_parts_beside_large_ones() -> None:
    (column,) = drawing.columns([("1 May", "", [("completed", 1000), ("failed", 1), ("cancelled", 0)])])
    assert [bar.kind for bar in column.bars] == ["completed", "failed"]
    assert column.bars[1].height == drawing.LEAST_HEIGHT


@pytest.mark.parametrize("values", [[], [1.0]])
def test_a_single_value_makes_no_line(values: list[float]) -> None:
    assert drawing.line(values) == ""


def test_a_long_curve_becomes_a_short_line() -> None:
    assert len(drawing.line([float(n % 7) for n in range(1000)]).split()) <= drawing.MAX_POINTS


def test_the_first_steps_name_buttons_that_are_there(admin_client: Client, client: Client) -> None:
    assert reverse("admin:characters_character_add") in overview_of(admin_client)
    rows.new_character()
    assert "<em>Start a training</em>" in overview_of(admin_client)
    client.force_login(rows.viewer())
    assert "<em>" not in overview_of(client).split('id="dash-first"')[1].split("</ol>")[0]
