"""The admin pages: what operators see, and what they can do from there."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs import log
from jobs.models import Artifact, Job, QueueState, Slot, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db(transaction=True)

JOBS = "admin:jobs_job_changelist"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def viewer_client(client: Client) -> Client:
    client.force_login(rows.viewer())
    return client


def page_of(client: Client, row: Any, action: str = "change") -> str:
    meta = type(row)._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_{action}", args=[quote(row.pk)])
    response = client.get(address)
    assert response.status_code == 200, (address, response)
    return response.content.decode()


def list_page(client: Client, **query: str) -> str:
    response = client.get(reverse(JOBS), query)
    assert response.status_code == 200
    return response.content.decode()


def act(client: Client, action: str, *jobs: Job) -> list[str]:
    """Choose an action for the jobs; return what the page then says."""
    chosen = {"action": action, "_selected_action": [job.pk for job in jobs]}
    response = client.post(reverse(JOBS), chosen, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_and_every_page_opens_for_an_admin(admin_client: Client, model: Any) -> None:
    made = rows.one_of_everything() | {User: User.objects.get(username="admin"), Group: Group.objects.create(name="g")}
    row = made[model]
    listed = admin_client.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
    assert listed.status_code == 200
    assert listed.context["cl"].result_count >= 1
    page_of(admin_client, row)
    page_of(admin_client, row, "history")


@pytest.mark.parametrize("model", ["job", "artifact", "joblogline", "queuestate", "gpulease", "slot"])
def test_every_list_of_jobs_opens_for_a_viewer_without_actions(viewer_client: Client, model: str) -> None:
    rows.one_of_everything()
    response = viewer_client.get(reverse(f"admin:jobs_{model}_changelist"))
    assert response.status_code == 200
    assert 'name="action"' not in response.content.decode()


@pytest.mark.parametrize("model", ["job", "artifact", "joblogline", "slot", "gpulease"])
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
    assert '<td class="field-duration">3 min 00 s</td>' in page
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
    page = page_of(admin_client, job)
    assert "<script>alert(1)" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page


def test_a_job_page_has_parameters_pictures_and_who_holds_it(admin_client: Client) -> None:
    job = rows.running_job("gen-1", rows.new_slot())
    rows.publish(job, "gen-1-0.png")
    page = page_of(admin_client, job)
    assert "&quot;prompt&quot;: &quot;picture of gen-1&quot;" in page
    assert 'src="/api/outputs/gen-1-0.png"' in page
    assert "Worker process 4711 on elsewhere" in page


def test_a_sample_that_has_no_address_is_named_without_a_picture(admin_client: Client) -> None:
    job = rows.new_job("train-1", kind="training")
    rows.publish(job, "step_00100.png", "sample")
    page = page_of(admin_client, job)
    assert "step_00100.png" in page
    assert "<img class=" not in page


def test_a_job_page_shows_the_log_from_its_archive_and_from_rows(admin_client: Client) -> None:
    job = rows.new_job("gen-1", status=Status.FAILED)
    log.write(job.pk, "before the end", event="engine.console")
    log.archive(job)
    log.write(job.pk, "after the end", event="job.retried")
    page = page_of(admin_client, job)
    assert page.index("before the end") < page.index("after the end")


def test_a_job_whose_log_file_is_missing_still_has_a_page(admin_client: Client) -> None:
    job = rows.new_job("gen-1", status=Status.FAILED, log_key="logs/gone.jsonl")
    assert "logs/gone.jsonl cannot be read" in page_of(admin_client, job)


def test_a_job_of_a_deleted_character_and_of_an_unknown_kind_still_has_a_page(admin_client: Client) -> None:
    job = rows.new_job("old-1", kind="upscaling", character_id="char-9", order={}, status=Status.COMPLETED)
    assert "char-9 (deleted)" in page_of(admin_client, job)
    assert "char-9 (deleted)" in list_page(admin_client)


def test_a_new_priority_is_saved_and_nothing_else_is(admin_client: Client) -> None:
    job = rows.new_job("gen-1", message="as it was")
    page = reverse("admin:jobs_job_change", args=["gen-1"])
    sent = {"priority": "5", "status": "completed", "message": "forged", "progress": "100"}
    inline = {"artifacts-TOTAL_FORMS": "0", "artifacts-INITIAL_FORMS": "0"}
    assert admin_client.post(page, sent | inline).status_code == 302
    job.refresh_from_db()
    assert (job.priority, job.status, job.message, job.progress) == (5, Status.QUEUED, "as it was", 0)


def test_saving_a_priority_does_not_undo_what_the_worker_wrote_meanwhile(admin_client: Client, rf: Any) -> None:
    job = rows.new_job("gen-1")
    Job.objects.filter(pk="gen-1").update(status=Status.CANCELLED, completed_at="2026-01-01T00:00:00Z")
    job.priority = 3
    admin.site._registry[Job].save_model(rf.post("/"), job, None, change=True)
    job.refresh_from_db()
    assert (job.priority, job.status) == (3, Status.CANCELLED)


def test_jobs_cannot_be_added_and_ended_ones_not_changed(admin_client: Client) -> None:
    rows.new_job("gen-1", status=Status.FAILED)
    assert admin_client.get(reverse("admin:jobs_job_add")).status_code == 403
    assert admin_client.post(reverse("admin:jobs_job_change", args=["gen-1"]), {"priority": "5"}).status_code == 403


def test_cancel_ends_what_is_live_and_says_what_had_ended(admin_client: Client) -> None:
    live, ended = rows.new_job("gen-1"), rows.new_job("gen-2", status=Status.COMPLETED)
    said = act(admin_client, "cancel_selected", live, ended)
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
def test_a_viewer_cannot_act(viewer_client: Client, action: str) -> None:
    live, ended = rows.new_job("gen-1"), rows.new_job("gen-2", status=Status.FAILED)
    act(viewer_client, action, live, ended)
    assert set(Job.objects.values_list("pk", "status")) == {("gen-1", "queued"), ("gen-2", "failed")}


def test_who_may_change_jobs_may_cancel_them(client: Client) -> None:
    client.force_login(rows.viewer("change_job"))
    job = rows.new_job("gen-1")
    act(client, "cancel_selected", job)
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


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


def test_every_kind_has_a_queue_in_the_list_and_looking_writes_nothing(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:jobs_queuestate_changelist")).content.decode()
    assert page.count("badge-open") == 2
    assert "2 queues" in page
    assert not QueueState.objects.exists()


def test_a_queue_is_paused_and_resumed_on_its_page(admin_client: Client) -> None:
    page = reverse("admin:jobs_queuestate_change", args=["training"])
    assert admin_client.post(page, {"is_paused": "on"}).status_code == 302
    assert QueueState.objects.get(pk="training").is_paused
    assert "badge-paused" in admin_client.get(page).content.decode()
    assert admin_client.post(page, {}).status_code == 302
    assert not QueueState.objects.get(pk="training").is_paused


def test_resuming_a_queue_rings_for_what_waits(admin_client: Client) -> None:
    QueueState.objects.create(kind="training", is_paused=True)
    before = rows.count_rings("training")
    admin_client.post(reverse("admin:jobs_queuestate_change", args=["training"]), {})
    assert rows.count_rings("training") == before + 1


def test_a_viewer_sees_a_queue_but_cannot_pause_it(viewer_client: Client) -> None:
    page = reverse("admin:jobs_queuestate_change", args=["training"])
    assert viewer_client.get(page).status_code == 200
    assert viewer_client.post(page, {"is_paused": "on"}).status_code == 403
    assert not QueueState.objects.exists()


def test_the_page_of_a_queue_that_nobody_knows_does_not_exist(admin_client: Client) -> None:
    response = admin_client.get(reverse("admin:jobs_queuestate_change", args=["upscaling"]), follow=True)
    assert "doesn’t exist" in response.content.decode()


def test_a_slot_tells_whether_it_is_served_and_what_it_runs(admin_client: Client) -> None:
    served = rows.new_slot()
    rows.new_slot("training@old#gpu0", heartbeat_at="2026-01-01T00:00:00Z")
    rows.running_job("gen-1", served)
    page = admin_client.get(reverse("admin:jobs_slot_changelist")).content.decode()
    assert len(re.findall("badge-served", page)) == len(re.findall("badge-silent", page)) == 1
    assert "1 of 2" in page
    assert "gen-1" in page_of(admin_client, served)


def test_only_a_slot_that_nobody_serves_can_be_deleted(admin_client: Client) -> None:
    rows.new_slot("training@here#gpu0")
    rows.new_slot("training@old#gpu0", heartbeat_at="2026-01-01T00:00:00Z")
    for name in ("training@here#gpu0", "training@old#gpu0"):
        admin_client.post(reverse("admin:jobs_slot_delete", args=[quote(name)]), {"post": "yes"})
    assert list(Slot.objects.values_list("pk", flat=True)) == ["training@here#gpu0"]


def test_a_gpu_names_its_holders(admin_client: Client) -> None:
    rows.running_job("gen-1", rows.new_slot())
    page = admin_client.get(reverse("admin:jobs_gpulease_changelist")).content.decode()
    assert "gen-1" in page


def test_no_page_of_ours_needs_an_inline_style_or_script(admin_client: Client) -> None:
    job = rows.one_of_everything()[Job]
    for page in (list_page(admin_client), page_of(admin_client, job)):
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", page)
        assert not re.search(r"\sstyle=|\son[a-z]+=", page)
