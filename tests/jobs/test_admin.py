"""The admin pages: what operators see, and what they can do from there."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs import log, trail
from jobs.models import Job, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

JOBS = "admin:jobs_job_changelist"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return rows.use_empty_storage(settings, tmp_path)


def list_page(client: Client, **query: str) -> str:
    response = client.get(reverse(JOBS), query)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_and_every_page_opens_for_an_admin(admin_client: Client, model: Any) -> None:
    made = rows.one_of_everything() | {User: User.objects.get(username="admin"), Group: Group.objects.create(name="g")}
    trail.note_change([made[Job]], "Touched.")
    made[LogEntry] = LogEntry.objects.get()
    row = made[model]
    listed = admin_client.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
    assert listed.status_code == 200
    assert listed.context["cl"].result_count >= 1
    rows.page_of(admin_client, row)
    rows.page_of(admin_client, row, "history")


@pytest.mark.parametrize("model", ["job", "artifact", "joblogline", "queuestate", "gpulease", "slot", "idempotencykey"])
def test_every_list_of_jobs_opens_for_a_viewer_without_actions(client: Client, model: str) -> None:
    client.force_login(rows.viewer())
    rows.one_of_everything()
    response = client.get(reverse(f"admin:jobs_{model}_changelist"))
    assert response.status_code == 200
    assert 'name="action"' not in response.content.decode()


@pytest.mark.parametrize("model", ["job", "artifact", "joblogline", "slot", "gpulease", "idempotencykey"])
def test_every_list_of_jobs_can_be_searched(admin_client: Client, model: str) -> None:
    rows.one_of_everything()
    found = admin_client.get(reverse(f"admin:jobs_{model}_changelist"), {"q": "no such thing"})
    assert found.status_code == 200
    assert found.context["cl"].result_count == 0


@pytest.mark.parametrize("words", ["gen-1", "char-1", "Lovelace", "lighthouse", "corr-7", "out of memory"])
def test_a_job_is_found_by_what_an_operator_knows_of_it(admin_client: Client, words: str) -> None:
    rows.new_character()
    known = {"character_id": "char-1", "correlation_id": "corr-7", "error_message": "out of memory"}
    rows.new_job("gen-1", status=Status.FAILED, config={"prompt": "a lighthouse"}, **known)
    rows.new_job("gen-2")
    found = admin_client.get(reverse(JOBS), {"q": words}).context["cl"].queryset
    assert [job.pk for job in found] == ["gen-1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"kind": "training"}, {"train-1"}),
        ({"status__exact": "running"}, {"gen-1"}),
        ({"status__in": "pending,queued"}, {"gen-2"}),
        ({"engine": "held"}, {"gen-1"}),
        ({"engine": "gone"}, {"gen-2", "train-1"}),
        ({"slot": "generation@http://127.0.0.1:8188"}, {"gen-1"}),
    ],
)
def test_the_list_of_jobs_can_be_filtered(admin_client: Client, query: dict[str, str], expected: set[str]) -> None:
    rows.running_job("gen-1", rows.new_slot())
    rows.new_job("gen-2")
    rows.new_job("train-1", kind="training", status=Status.FAILED)
    found = admin_client.get(reverse(JOBS), query).context["cl"].queryset
    assert {job.pk for job in found} == expected


def test_the_list_tells_status_progress_age_and_place(admin_client: Client) -> None:
    rows.running_job("gen-1", rows.new_slot(), progress=40, current_step=4, message="Image 1/1: step 4/10")
    page = list_page(admin_client)
    assert '<span class="badge badge-running">running</span>' in page
    assert '<progress max="100" value="40"' in page
    assert "4/10" in page
    assert "Image 1/1: step 4/10" in page
    assert re.search(r'class="field-duration[^>]*>\s*3 min [0-5]\d s', page)
    assert "process 4711" in page


def test_the_number_of_queries_does_not_grow_with_the_jobs(admin_client: Client) -> None:
    rows.new_character()
    slot = rows.new_slot()

    def queries_with(first: int, last: int) -> int:
        for number in range(first, last):
            rows.running_job(f"gen-{number}", slot, character_id="char-1", created_at="2026-01-01T00:00:00Z")
        with CaptureQueriesContext(connection) as captured:
            list_page(admin_client)
        return len(captured)

    list_page(admin_client)
    assert queries_with(0, 10) == queries_with(10, 50)


def test_what_a_job_says_is_shown_as_text_not_as_markup(admin_client: Client) -> None:
    job = rows.new_job("gen-1", status=Status.FAILED, error_message="<script>alert(1)</script>")
    log.write(job.pk, "<b>bold</b>", event="engine.console", level="ERROR")
    assert "<script>alert(1)" not in list_page(admin_client)
    page = rows.page_of(admin_client, job)
    assert "<script>alert(1)" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page


def test_a_job_page_shows_the_log_from_its_archive_and_from_rows(admin_client: Client) -> None:
    job = rows.new_job("gen-1", status=Status.FAILED)
    log.write(job.pk, "before the end", event="engine.console")
    log.archive(job)
    log.write(job.pk, "after the end", event="job.retried")
    page = rows.page_of(admin_client, job)
    assert page.index("before the end") < page.index("after the end")


def test_a_job_whose_log_file_is_missing_still_has_a_page(admin_client: Client) -> None:
    job = rows.new_job("gen-1", status=Status.FAILED, log_key="logs/gone.jsonl")
    assert "logs/gone.jsonl cannot be read" in rows.page_of(admin_client, job)


def test_a_job_of_a_deleted_character_and_of_an_unknown_kind_still_has_a_page(admin_client: Client) -> None:
    job = rows.new_job("old-1", kind="upscaling", character_id="char-9", order={}, status=Status.COMPLETED)
    assert "char-9 (deleted)" in rows.page_of(admin_client, job)
    assert "char-9 (deleted)" in list_page(admin_client)


def test_no_page_of_ours_needs_an_inline_style_or_script(admin_client: Client) -> None:
    job = rows.one_of_everything()[Job]
    for page in (list_page(admin_client), rows.page_of(admin_client, job)):
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", page)
        assert not re.search(r"\sstyle=|\son[a-z]+=", page)


def test_the_list_of_files_shows_pictures_small_whatever_they_are_called(admin_client: Client) -> None:
    rows.publish(rows.new_job("gen-1", status=Status.COMPLETED), "a #1.png")
    page = admin_client.get(reverse("admin:jobs_artifact_changelist")).content.decode()
    assert 'src="/api/outputs/a%20%231.png?size=96"' in page
    assert 'href="/api/outputs/a%20%231.png"' in page
