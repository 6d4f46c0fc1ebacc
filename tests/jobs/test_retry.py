"""Retry: what has failed or was cancelled runs again, as a new job."""

import threading
from typing import Any

import pytest
from django.db import connection

from characters.models import Character
from jobs.models import Job, JobLogLine, Status
from jobs.retrying import NotRetryable, retry_job
from tests.jobs import admin_rows as rows

ENDED_BADLY = [Status.FAILED, Status.CANCELLED]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", ENDED_BADLY)
def test_a_retry_is_a_new_waiting_job_that_asks_for_the_same(status: Status) -> None:
    asked = {"config": {"prompt": "a fox", "seed": 7}, "order": {"count": 2, "loras": []}, "priority": 3}
    old = rows.new_job(
        "gen-1", status=status, attempt=3, crashes=3, error_message="why", correlation_id="corr", **asked
    )
    again = retry_job(old)
    again.refresh_from_db()
    assert again.pk.startswith("gen-")
    assert again.pk != "gen-1"
    assert again.order == {"count": 2, "loras": [], "retry_of": "gen-1"}
    assert (again.config, again.priority, again.total_steps) == (old.config, 3, 10)
    assert (again.correlation_id, again.kind) == ("corr", "generation")
    assert (again.status, again.attempt, again.crashes, again.error_message) == (Status.QUEUED, 0, 0, None)


@pytest.mark.django_db(transaction=True)
def test_a_retry_rings_for_a_worker() -> None:
    old = rows.new_job("gen-1", status=Status.FAILED)
    before = rows.count_rings("generation")
    retry_job(old)
    assert rows.count_rings("generation") == before + 1


@pytest.mark.django_db
def test_both_jobs_logs_name_the_other() -> None:
    again = retry_job(rows.new_job("gen-1", status=Status.FAILED))
    assert again.pk in JobLogLine.objects.get(job_id="gen-1", event="job.retried").message
    assert "gen-1" in JobLogLine.objects.get(job=again, event="job.accepted").message


@pytest.mark.django_db
def test_the_old_job_stays_as_it_ended() -> None:
    old = rows.new_job("gen-1", status=Status.FAILED, error_message="out of memory")
    retry_job(old)
    old.refresh_from_db()
    assert (old.status, old.error_message, old.order) == (Status.FAILED, "out of memory", {"count": 1, "loras": []})


@pytest.mark.django_db
@pytest.mark.parametrize("status", [Status.PENDING, Status.QUEUED, Status.COMPLETED])
def test_what_is_live_or_completed_is_not_retried(status: Status) -> None:
    job = rows.new_job("gen-1", status=status)
    with pytest.raises(NotRetryable, match="gen-1"):
        retry_job(job)
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_the_row_decides_and_not_what_was_read_earlier() -> None:
    job = rows.new_job("gen-1", status=Status.FAILED)
    Job.objects.filter(pk="gen-1").update(status=Status.COMPLETED)
    with pytest.raises(NotRetryable, match="completed"):
        retry_job(job)


@pytest.mark.django_db
def test_a_job_of_a_deleted_character_is_not_retried() -> None:
    character = rows.new_character()
    job = rows.new_job("train-1", kind="training", status=Status.FAILED, character_id=character.pk)
    Character.objects.all().delete()
    with pytest.raises(NotRetryable, match="has been deleted"):
        retry_job(job)


@pytest.mark.django_db
def test_a_job_of_a_kind_that_is_gone_is_not_retried() -> None:
    with pytest.raises(NotRetryable, match="upscaling"):
        retry_job(rows.new_job("up-1", kind="upscaling", status=Status.FAILED))


@pytest.mark.django_db
def test_a_retry_that_failed_too_is_retried_again_but_not_twice_at_once() -> None:
    first = rows.new_job("gen-1", status=Status.FAILED)
    second = retry_job(first)
    with pytest.raises(NotRetryable, match=second.pk):
        retry_job(first)
    Job.objects.filter(pk=second.pk).update(status=Status.FAILED, completed_at="2026-01-01T00:00:00Z")
    assert retry_job(first).order["retry_of"] == "gen-1"
    assert retry_job(second).order["retry_of"] == second.pk


@pytest.mark.django_db(transaction=True)
def test_two_people_who_retry_at_once_get_one_new_job() -> None:
    job = rows.new_job("gen-1", status=Status.FAILED)
    together, outcomes = threading.Barrier(2), list[Any]()

    def press() -> None:
        try:
            together.wait(60)
            outcomes.append(retry_job(job))
        except NotRetryable as exc:
            outcomes.append(exc)
        finally:
            connection.close()

    people = [threading.Thread(target=press) for _ in range(2)]
    for person in people:
        person.start()
    for person in people:
        person.join(60)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Job", "NotRetryable"]
    assert Job.objects.live().count() == 1
