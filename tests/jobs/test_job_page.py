"""The page of one job: what it tells of every state, and what can be done from it."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from characters.models import Lora
from jobs import log
from jobs.models import Artifact, Attempt, Job, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

TRAINING: dict[str, Any] = {
    "kind": "training",
    "config": {"steps": 1000, "lora_rank": 32, "resolution": 768, "sample_count": 2},
    "order": {"base_model": "flux-dev", "trigger_word": "ada_person", "character_name": "Ada Lovelace"},
}


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return rows.use_empty_storage(settings, tmp_path)


def act(client: Client, job: Job, verb: str) -> Any:
    return client.post(reverse("admin:jobs_job_act", args=[job.pk]), {"verb": verb}, follow=True)


def sample(job: Job, step: int, index: int) -> Artifact:
    suffix = f"_{index}" if index else ""
    name = f"step_{step:05d}{suffix}.png"
    return Artifact.objects.create(job=job, type="sample", name=name, key=f"samples/{name}", size_bytes=1, step=step)


def attempt(job: Job, number: int, **fields: Any) -> Attempt:
    worker = {"host": "forge", "pid": 4711}
    return Attempt.objects.create(job=job, number=number, slot="training@forge#gpu0", worker=worker, **fields)


def test_parameters_are_told_in_words_with_their_units(admin_client: Client) -> None:
    asked = TRAINING | {"config": TRAINING["config"] | {"learning_rate": 5e-05}}
    page = rows.page_of(admin_client, rows.new_job("train-1", **asked, learning_rate=0.000012))
    # What explains a parameter can be opened by keyboard and by touch.
    assert re.search(r"<summary>LoRA rank</summary>[^<]+</details></dt><dd>32<", page)
    assert re.search(r"<summary>Resolution</summary>[^<]+</details></dt><dd>768 pixels<", page)
    assert re.search(r"<summary>Learning rate</summary>[^<]+</details></dt><dd>0.00005<", page)
    assert '<dd data-fact="rate">0.000012</dd>' in page
    assert re.search(r"Base model</dt><dd>FLUX.1 dev<", page)


def test_outputs_are_shown_small_and_lead_to_the_whole_picture(admin_client: Client) -> None:
    job = rows.running_job("gen-1", rows.new_slot())
    rows.publish(job, "gen-1-0.png")
    page = rows.page_of(admin_client, job)
    assert 'href="/api/outputs/gen-1-0.png"' in page
    assert 'src="/api/outputs/gen-1-0.png?size=512"' in page
    assert 'src="/api/outputs/gen-1-0.png"' not in page
    assert 'href="/admin/gallery/?job=gen-1"' in page
    assert "seed 7" in page
    assert "Worker process 4711 on elsewhere" in page


def test_samples_stand_by_step_under_their_prompts(admin_client: Client) -> None:
    job = rows.new_job("train-1", **TRAINING)
    for step, index in ((100, 0), (100, 1), (200, 1)):
        sample(job, step, index)
    response = admin_client.get(reverse("admin:jobs_job_change", args=["train-1"]))
    names = [[cell and cell.name for cell in row.cells] for row in response.context["sample_rounds"]]
    assert names == [[None, "step_00200_1.png"], ["step_00100.png", "step_00100_1.png"]]
    assert response.context["sample_headings"][0] == "a photo of ada_person"


def test_the_timeline_tells_of_each_attempt_where_and_why_it_ended(admin_client: Client) -> None:
    job = rows.new_job("train-1", status=Status.FAILED, error_message="Out of luck", **TRAINING)
    attempt(job, 1, outcome="crashed", reason="The worker died", ended_at=timezone.now())
    attempt(job, 2, from_step=250, outcome="failed", reason="Out of luck", ended_at=timezone.now())
    page = rows.page_of(admin_client, job)
    assert f"{job.completed_at:%Y-%m-%d %H:%M:%S} UTC</time>" in page
    for told in ("Attempt 1 crashed", "The worker died", "From step 250", "process 4711 on forge", "Attempt 2 failed"):
        assert told in page


def test_a_failed_job_says_first_why_and_what_to_do(admin_client: Client) -> None:
    failure = {"status": Status.FAILED, "error_message": "The disk is full.", "failure_cause": "disk_full"}
    job = rows.new_job("gen-1", **failure)
    log.write(job.pk, "no space left", event="engine.console", level="ERROR")
    page = rows.page_of(admin_client, job)
    assert page.index("It failed: disk full") < page.index("manage.py cleanup") < page.index("job-progress-title")
    assert page.index("no space left") < page.index("job-progress-title")


def test_a_waiting_job_says_its_place_and_what_it_waits_for(admin_client: Client) -> None:
    rows.new_job("gen-1")
    page = rows.page_of(admin_client, rows.new_job("gen-2"))
    assert "number 2 in its queue" in page
    assert "No worker is up" in page


def test_lineage_leads_both_ways_and_to_the_lora(admin_client: Client) -> None:
    rows.new_character()
    first = rows.new_job("train-1", status=Status.FAILED, character_id="char-1", **TRAINING)
    again = TRAINING | {"order": TRAINING["order"] | {"retry_of": "train-1"}}
    second = rows.new_job("train-2", status=Status.COMPLETED, character_id="char-1", **again)
    Lora.objects.create(
        character_id="char-1",
        version=1,
        name="Ada v1",
        key="l",
        size_bytes=1_500_000,
        sha256=rows.SHA,
        job_id="train-2",
    )
    assert re.search(r'Retried as <a href="[^"]*train-2/change/"', rows.page_of(admin_client, first))
    page = rows.page_of(admin_client, second)
    assert re.search(r'Retry of <a href="[^"]*train-1/change/"', page)
    assert "Ada v1</a>" in page
    assert "the finished LoRA, 1.5 MB<" in page


def test_what_people_and_engines_wrote_is_never_markup(admin_client: Client) -> None:
    hostile = '"><script>alert(1)</script>'
    job = rows.new_job("gen-1", status=Status.FAILED, config={"prompt": hostile}, error_message=hostile)
    artifact = rows.publish(job, "gen-1-0.png")
    Artifact.objects.filter(pk=artifact.pk).update(details={"index": 0, "seed": 1, "prompt": hostile})
    key = default_storage.save("logs/config.json", ContentFile(hostile.encode()))
    Artifact.objects.create(job=job, type="config", name="config.json", key=key, size_bytes=9)
    attempt(job, 1, outcome="failed", reason=hostile + "!", ended_at=timezone.now())
    assert "<script>alert" not in rows.page_of(admin_client, job)


@pytest.mark.parametrize("fields", [{"kind": "upscaling"}, {"config": {}}, {"config": {"odd": [1, {"a": None}]}}])
def test_a_job_that_is_not_understood_any_more_still_has_a_page(admin_client: Client, fields: dict[str, Any]) -> None:
    rows.page_of(admin_client, rows.new_job("old-1", **{"kind": "training", "order": {}} | fields))


def test_the_number_of_queries_does_not_grow_with_what_a_job_left(admin_client: Client) -> None:
    job = rows.new_job("train-1", status=Status.FAILED, **TRAINING)

    def queries_with(first: int, last: int) -> int:
        for number in range(first, last):
            sample(job, number, 0)
            attempt(job, number, outcome="crashed", ended_at=timezone.now())
            log.write(job.pk, "a line", event="engine.console")
            retry = TRAINING | {"order": {"retry_of": "train-1"}}
            rows.new_job(f"train-{number + 100}", **retry)
        with CaptureQueriesContext(connection) as captured:
            rows.page_of(admin_client, job)
        return len(captured)

    rows.page_of(admin_client, job)
    assert queries_with(1, 3) == queries_with(3, 20)


def test_cancel_and_retry_are_done_once_and_are_in_the_history(admin_client: Client) -> None:
    job = rows.new_job("gen-1")
    act(admin_client, job, "cancel")
    assert "Cannot cancel" in act(admin_client, job, "cancel").content.decode()
    answer = act(admin_client, job, "restart")
    assert "is being retried already" in act(admin_client, job, "restart").content.decode()
    again = Job.objects.get(order__retry_of="gen-1")
    assert answer.redirect_chain[-1][0] == reverse("admin:jobs_job_change", args=[again.pk])
    said = list(LogEntry.objects.filter(object_id="gen-1").order_by("id").values_list("change_message", flat=True))
    assert [text.split()[0] for text in said] == ["Cancelled;", "Retried"]


def test_a_job_moves_to_the_front_of_its_queue(admin_client: Client) -> None:
    rows.new_job("gen-1", priority=5)
    act(admin_client, rows.new_job("gen-2"), "front")
    assert Job.objects.get(pk="gen-2").priority == 6


def test_who_may_only_look_gets_no_buttons_and_can_do_nothing(client: Client) -> None:
    client.force_login(rows.viewer())
    job = rows.new_job("gen-1")
    page = rows.page_of(client, job)
    assert 'name="verb"' not in page
    assert 'name="priority"' not in page
    assert act(client, job, "cancel").status_code == 403
    job.refresh_from_db()
    assert job.status == Status.QUEUED


@pytest.mark.parametrize(("method", "verb", "expected"), [("get", "cancel", 405), ("post", "explode", 404)])
def test_only_known_verbs_that_are_posted_do_anything(
    admin_client: Client, method: str, verb: str, expected: int
) -> None:
    rows.new_job("gen-1")
    address = reverse("admin:jobs_job_act", args=["gen-1"])
    assert getattr(admin_client, method)(address, {"verb": verb}).status_code == expected
    assert not LogEntry.objects.exists()
