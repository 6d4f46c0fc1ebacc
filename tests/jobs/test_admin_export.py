"""The list of jobs, narrowed and taken away as a file."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from characters.admin.exporting import harmless
from jobs.models import Job, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

JOBS = "admin:jobs_job_changelist"


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return rows.use_empty_storage(settings, tmp_path)


def export(client: Client, form: str, **query: str) -> str:
    response = client.get(reverse("admin:jobs_job_export", args=[form]), query)
    assert response.status_code == 200
    assert response.streaming
    assert f'.{form}"' in response["Content-Disposition"]
    return response.getvalue().decode()


def as_records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"cause": "out_of_memory"}, {"gen-1"}),
        ({"cause": "-"}, {"gen-2"}),
        ({"character": "lovelace"}, {"gen-1"}),
        ({"character": "char-1"}, {"gen-1"}),
        ({"character": "grace"}, {"gen-2"}),
        ({"created_at_from": "2026-03-02", "created_at_to": "2026-03-02"}, {"gen-1"}),
        ({"created_at_to": "2026-03-01"}, {"gen-2"}),
        ({"created_at_to": "9999-12-31", "completed_at_to": "9999-12-31"}, {"gen-1", "gen-2"}),
        ({"created_at_from": "yesterday"}, {"gen-1", "gen-2", "train-1"}),
        ({"completed_at_from": "2026-03-03"}, {"gen-1"}),
        ({"kind": "", "status__exact": "", "cause": "", "character": ""}, {"gen-1", "gen-2", "train-1"}),
    ],
)
def test_jobs_are_found_by_cause_character_and_days(
    admin_client: Client, query: dict[str, str], expected: set[str]
) -> None:
    rows.new_character()
    failed = {"status": Status.FAILED}
    ended = {"created_at": "2026-03-02T23:59:59Z", "completed_at": "2026-03-03T00:00:00Z"}
    rows.new_job("gen-1", **failed, **ended, failure_cause="out_of_memory", character_id="char-1")
    gone = {"character_id": "char-9", "order": {"character_name": "Grace Hopper"}}
    rows.new_job("gen-2", **failed, **gone, created_at="2026-03-01T12:00:00Z", completed_at="2026-03-01T13:00:00Z")
    rows.new_job("train-1", kind="training", created_at="2026-03-05T00:00:00Z")
    listed = admin_client.get(reverse(JOBS), query)
    assert {job.pk for job in listed.context["cl"].queryset} == expected
    assert {record["id"] for record in json.loads(export(admin_client, "json", **query))} == expected


def test_counts_beside_the_filters_can_be_asked_for(admin_client: Client) -> None:
    rows.new_job("gen-1", status=Status.FAILED)
    page = admin_client.get(reverse(JOBS), {"_facets": "1"}).content.decode()
    assert "failed (1)" in page
    assert "failed, none known (1)" in page


def test_the_list_says_what_it_is_narrowed_by_and_how_to_widen_it(admin_client: Client) -> None:
    rows.new_job("gen-1", status=Status.FAILED)
    page = admin_client.get(reverse(JOBS), {"status__exact": "failed", "q": "gen", "o": "1"}).content.decode()
    assert "characters/list_bar.css" in page
    assert "status: <strong>failed</strong>" in page
    assert '<a href="?q=gen&amp;o=1" aria-label="Without status: failed"' in page
    assert "Export 1 row:" in page
    assert reverse("admin:jobs_job_export", args=["csv"]) + "?status__exact=failed&amp;q=gen&amp;o=1" in page


def test_a_csv_has_a_heading_and_a_line_for_each_job_in_the_lists_order(admin_client: Client) -> None:
    rows.new_character()
    rows.new_job("gen-1", character_id="char-1", created_at="2026-01-01T00:00:00Z", config={"prompt": "a, b"})
    rows.new_job("gen-2", status=Status.FAILED, error_message="two\nlines")
    newest, oldest = as_records(export(admin_client, "csv"))
    assert (newest["id"], newest["status"], newest["error_message"]) == ("gen-2", "failed", "two\nlines")
    assert (oldest["character_name"], oldest["created_at"]) == ("Ada Lovelace", "2026-01-01T00:00:00.000Z")
    assert json.loads(oldest["config"]) == {"prompt": "a, b"}
    assert [record["id"] for record in as_records(export(admin_client, "csv", kind="training"))] == []


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"])
def test_no_text_is_taken_for_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"


def test_numbers_and_other_texts_stay_what_they_are(admin_client: Client) -> None:
    assert [harmless(value) for value in (-3, 0.5, None, "a=b", "")] == [-3, 0.5, None, "a=b", ""]
    rows.new_job("gen-1", status=Status.FAILED, priority=-3, error_message='=HYPERLINK("http://x")')
    record = as_records(export(admin_client, "csv"))[0]
    assert (record["priority"], record["error_message"]) == ("-3", '\'=HYPERLINK("http://x")')


def test_an_export_is_read_in_as_many_queries_whatever_its_length(admin_client: Client) -> None:
    def queries_with(first: int, last: int) -> int:
        Job.objects.bulk_create(Job(id=f"gen-{number}", kind="generation") for number in range(first, last))
        with CaptureQueriesContext(connection) as captured:
            assert len(json.loads(export(admin_client, "json"))) == last
        return len(captured)

    assert queries_with(0, 1) == queries_with(1, 1200)


def test_who_may_look_may_export_and_nobody_else(client: Client) -> None:
    rows.new_job("gen-1")
    address = reverse("admin:jobs_job_export", args=["csv"])
    assert client.get(address).status_code == 302
    client.force_login(rows.viewer())
    assert client.get(address).status_code == 200
    assert client.get(reverse("admin:jobs_job_export", args=["exe"])).status_code == 404
    user = rows.User.objects.get(username="viewer")
    user.user_permissions.clear()
    client.force_login(user)
    assert client.get(address).status_code == 403
