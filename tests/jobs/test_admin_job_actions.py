"""What operators do to several jobs of the list at once."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.admin import job_actions
from jobs.cancelling import cancel_job
from jobs.models import Job, Status
from tests.jobs import admin_rows as rows
from tests.jobs.test_admin_actions import JOBS, act

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return rows.use_empty_storage(settings, tmp_path)


def chosen(action: str, *job_ids: str, **more: str) -> dict[str, Any]:
    return {"action": action, "_selected_action": list(job_ids), **more}


def test_several_jobs_move_to_the_front_in_their_order_and_others_are_named(admin_client: Client) -> None:
    rows.new_job("gen-0", priority=7)
    jobs = [rows.new_job("gen-1", priority=1), rows.new_job("gen-2"), rows.new_job("gen-3", status=Status.FAILED)]
    said = act(admin_client, "move_to_front", *jobs)
    waiting = Job.objects.filter(status=Status.QUEUED).order_by("-priority")
    assert [job.pk for job in waiting] == ["gen-1", "gen-2", "gen-0"]
    assert "2 jobs moved to the front." in said
    assert "gen-3: does not wait, it is failed." in said
    assert set(LogEntry.objects.values_list("object_id", flat=True)) == {"gen-1", "gen-2"}


def test_a_priority_is_asked_for_and_then_given(admin_client: Client) -> None:
    rows.new_job("gen-1")
    sent = chosen("prioritise", "gen-1")
    assert 'name="priority"' in admin_client.post(reverse(JOBS), sent).content.decode()
    refused = admin_client.post(reverse(JOBS), sent | {"priority": "2000000"})
    assert 'role="alert"' in refused.content.decode()
    assert admin_client.post(reverse(JOBS), sent | {"priority": "5"}).status_code == 302
    assert Job.objects.get(pk="gen-1").priority == 5


def sent_by(page: str) -> set[str]:
    """Return the jobs that the form of the page names."""
    return set(re.findall(r'name="_selected_action" value="([^"]+)"', page))


def test_what_a_search_found_is_asked_about_and_sent_by_name(admin_client: Client) -> None:
    for number in range(60):
        rows.new_job(f"gen-{number:02}")
    sent = chosen("prioritise", "gen-00", select_across="1")
    page = admin_client.post(reverse(JOBS), sent).content.decode()
    assert "Priority of 60 jobs" in page
    assert "and 10 more" in page
    assert sent_by(page) == {f"gen-{number:02}" for number in range(60)}
    assert 'name="select_across"' not in page


def test_what_ends_after_the_question_is_not_deleted_with_the_rest(admin_client: Client) -> None:
    rows.new_job("gen-1", status=Status.FAILED)
    waits = rows.new_job("gen-2")
    sent = chosen("delete_selected", "gen-1", select_across="1")
    page = admin_client.post(reverse(JOBS), sent).content.decode()
    assert "Delete 1 job" in page
    rows.new_job("gen-3", status=Status.FAILED)
    cancel_job(waits)
    assert "go for good" in admin_client.post(reverse(JOBS), sent | {"post": "yes"}).content.decode()
    admin_client.post(reverse(JOBS), chosen("delete_selected", *sent_by(page), post="yes"))
    assert set(Job.objects.values_list("pk", flat=True)) == {"gen-2", "gen-3"}


def test_before_jobs_are_cancelled_the_page_asks(admin_client: Client) -> None:
    rows.new_job("gen-1")
    page = admin_client.post(reverse(JOBS), chosen("cancel_selected", "gen-1")).content.decode()
    assert "Cancel 1 job?" in page
    assert Job.objects.get().status == Status.QUEUED
    admin_client.post(reverse(JOBS), chosen("cancel_selected", *sent_by(page), post="yes"))
    assert Job.objects.get().status == Status.CANCELLED


@pytest.mark.parametrize("action", ["retry_selected", "delete_selected", "move_to_front"])
def test_more_than_one_request_can_do_is_refused_in_words(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setattr(job_actions, "MAX_JOBS_AT_ONCE", 2)
    jobs = [rows.new_job(f"gen-{number}", status=Status.FAILED) for number in range(3)]
    for said in (act(admin_client, action, jobs[0], select_across="1"), act(admin_client, action, *jobs)):
        assert said[0].startswith("3 jobs are more than ")
        assert "Narrow the list" in said[0]
        assert "manage.py cleanup" in said[0]
    assert Job.objects.count() == 3
    assert not LogEntry.objects.exists()


def test_a_second_click_on_retry_starts_nothing_twice(admin_client: Client) -> None:
    failed = rows.new_job("gen-1", status=Status.FAILED)
    act(admin_client, "retry_selected", failed)
    said = act(admin_client, "retry_selected", failed)
    assert Job.objects.filter(order__retry_of="gen-1").count() == 1
    assert any("is being retried already" in line for line in said)


def test_only_so_many_refusals_are_named(admin_client: Client) -> None:
    jobs = [rows.new_job(f"gen-{n}", status=Status.FAILED) for n in range(13)]
    said = act(admin_client, "cancel_selected", *jobs, post="yes")
    assert len(said) == 11
    assert said[-1] == "3 more refused."


def test_before_jobs_are_deleted_the_page_says_how_much_goes_and_what_stays(admin_client: Client) -> None:
    job = rows.new_job("gen-1", status=Status.COMPLETED)
    for number in (0, 1):
        rows.publish(job, f"gen-1-{number}.png")
    rows.new_job("gen-2")
    rows.new_job("gen-3", status=Status.FAILED)
    rows.new_job("gen-4", order={"resume_from": {"job_id": "gen-3", "step": 4, "key": "k", "lora_id": None}})
    page = admin_client.post(reverse(JOBS), chosen("delete_selected", "gen-1", "gen-2", "gen-3")).content.decode()
    assert "1 job and 2 files (12 B) go for good" in page
    assert "gen-2, which is queued" in page
    assert "gen-3, from whose checkpoint gen-4 goes on" in page
    assert Job.objects.count() == 4


def test_jobs_that_can_go_are_deleted_though_others_stay(admin_client: Client) -> None:
    ended, live = rows.new_job("gen-1", status=Status.COMPLETED), rows.new_job("gen-2")
    answer = admin_client.post(reverse(JOBS), chosen("delete_selected", ended.pk, live.pk, post="yes"), follow=True)
    assert [job.pk for job in Job.objects.all()] == ["gen-2"]
    said = [str(message) for message in answer.context["messages"]]
    assert said == ["1 job deleted, with logs and files.", "gen-2, which is queued"]
    assert LogEntry.objects.get().action_flag == DELETION


def test_asking_before_a_deletion_takes_as_many_queries_for_one_as_for_many(admin_client: Client) -> None:
    for number in range(20):
        rows.publish(rows.new_job(f"gen-{number}", status=Status.COMPLETED), f"gen-{number}.png")

    def queries_for(*job_ids: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            admin_client.post(reverse(JOBS), chosen("delete_selected", *job_ids))
        return len(captured)

    queries_for("gen-0")
    assert queries_for("gen-0") == queries_for(*(f"gen-{number}" for number in range(20)))
