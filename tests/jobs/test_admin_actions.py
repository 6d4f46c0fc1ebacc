"""What operators can do to jobs from the admin pages."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from jobs import log
from jobs.models import Artifact, Job, Status
from jobs.ordering import NotMovable
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

JOBS = "admin:jobs_job_changelist"


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return rows.use_empty_storage(settings, tmp_path)


def act(client: Client, action: str, *jobs: Job, **more: str) -> list[str]:
    """Choose an action for the jobs; return what the page then says."""
    chosen = {"action": action, "_selected_action": [job.pk for job in jobs], **more}
    response = client.post(reverse(JOBS), chosen, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


def test_a_new_priority_is_saved_and_nothing_else_is(admin_client: Client) -> None:
    job = rows.new_job("gen-1", message="as it was")
    page = reverse("admin:jobs_job_change", args=["gen-1"])
    sent = {"priority": "5", "status": "completed", "message": "forged", "progress": "100"}
    inline = {"artifacts-TOTAL_FORMS": "0", "artifacts-INITIAL_FORMS": "0"}
    assert admin_client.post(page, sent | inline).status_code == 302
    job.refresh_from_db()
    assert (job.priority, job.status, job.message, job.progress) == (5, Status.QUEUED, "as it was", 0)
    assert LogEntry.objects.get().change_message == "Given priority 5."


def test_a_priority_is_not_given_to_what_ended_meanwhile(admin_client: Client, rf: Any) -> None:
    job = rows.new_job("gen-1")
    Job.objects.filter(pk="gen-1").update(status=Status.CANCELLED, completed_at="2026-01-01T00:00:00Z")
    job.priority = 3
    with pytest.raises(NotMovable, match="gen-1 is cancelled"):
        admin.site._registry[Job].save_model(rf.post("/"), job, None, change=True)
    job.refresh_from_db()
    assert (job.priority, job.status) == (0, Status.CANCELLED)


def test_a_priority_out_of_bounds_is_refused_in_words_and_leaves_no_entry(admin_client: Client) -> None:
    rows.new_job("gen-1")
    page = reverse("admin:jobs_job_change", args=["gen-1"])
    answer = admin_client.post(page, {"priority": "2000000"}, follow=True)
    said = [str(message) for message in answer.context["messages"]]
    assert said == ["A priority lies between -1000000 and 1000000; 2000000 does not."]
    assert not LogEntry.objects.exists()


def test_jobs_cannot_be_added_and_ended_ones_not_changed(admin_client: Client) -> None:
    rows.new_job("gen-1", status=Status.FAILED)
    assert admin_client.get(reverse("admin:jobs_job_add")).status_code == 403
    assert admin_client.post(reverse("admin:jobs_job_change", args=["gen-1"]), {"priority": "5"}).status_code == 403


def test_cancel_ends_what_is_live_and_says_what_had_ended(admin_client: Client) -> None:
    live, ended = rows.new_job("gen-1"), rows.new_job("gen-2", status=Status.COMPLETED)
    said = act(admin_client, "cancel_selected", live, ended, post="yes")
    live.refresh_from_db()
    assert live.status == Status.CANCELLED
    assert "1 job cancelled; engines at work stop within seconds." in said
    assert "gen-2: Cannot cancel job in completed state" in said
    assert LogEntry.objects.get(object_id="gen-1").user.username == "admin"


def test_retry_makes_a_new_job_and_says_which_refused(admin_client: Client) -> None:
    failed, running = rows.new_job("gen-1", status=Status.FAILED), rows.new_job("gen-2")
    said = act(admin_client, "retry_selected", failed, running)
    again = Job.objects.get(order__retry_of="gen-1")
    assert any(again.pk in line for line in said)
    assert "1 job retried." in said
    assert any(line.startswith("gen-2: ") for line in said)


@pytest.mark.parametrize("action", ["cancel_selected", "retry_selected", "delete_selected"])
def test_a_viewer_cannot_act(client: Client, action: str) -> None:
    client.force_login(rows.viewer())
    live, ended = rows.new_job("gen-1"), rows.new_job("gen-2", status=Status.FAILED)
    act(client, action, live, ended, post="yes")
    assert set(Job.objects.values_list("pk", "status")) == {("gen-1", "queued"), ("gen-2", "failed")}


def test_who_may_change_jobs_may_cancel_them(client: Client) -> None:
    client.force_login(rows.viewer("change_job"))
    job = rows.new_job("gen-1")
    act(client, "cancel_selected", job, post="yes")
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_deleting_an_ended_job_removes_its_files_and_no_others(admin_client: Client, root: Path) -> None:
    gone, kept = (rows.new_job(f"gen-{number}", status=Status.COMPLETED) for number in (1, 2))
    for job in (gone, kept):
        rows.publish(job, f"{job.pk}-0.png")
        log.write(job.pk, "a line", event="job.accepted")
        log.archive(job)
    address = reverse("admin:jobs_job_delete", args=["gen-1"])
    assert "gen-1 with its log" in admin_client.get(address).content.decode()
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert not Job.objects.filter(pk="gen-1").exists()
    assert {key.split("/")[1].split(".")[0] for key in rows.stored_files(root)} == {"gen-2"}
    assert not (root / "outputs" / "gen-1").exists()


@pytest.mark.django_db(transaction=True)
def test_deleting_several_jobs_removes_all_of_them(admin_client: Client, root: Path) -> None:
    jobs = [rows.new_job(f"gen-{number}", status=Status.CANCELLED) for number in (1, 2)]
    for job in jobs:
        rows.publish(job, f"{job.pk}-0.png")
    chosen = {"action": "delete_selected", "_selected_action": [job.pk for job in jobs], "post": "yes"}
    assert admin_client.post(reverse(JOBS), chosen).status_code == 302
    assert not Job.objects.exists()
    assert not Artifact.objects.exists()
    assert rows.stored_files(root) == set()


@pytest.mark.parametrize("status", [Status.RUNNING, Status.CANCELLED])
def test_a_job_whose_engine_may_be_at_work_is_not_deleted(admin_client: Client, status: Status) -> None:
    ended = {"completed_at": "2026-01-01T00:00:00Z"} if status == Status.CANCELLED else {}
    rows.running_job("gen-1", rows.new_slot(), status=status, **ended)
    assert admin_client.post(reverse("admin:jobs_job_delete", args=["gen-1"]), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": ["gen-1"], "post": "yes"}
    assert f"gen-1, which is {status}" in admin_client.post(reverse(JOBS), chosen).content.decode()
    assert Job.objects.filter(pk="gen-1").exists()
