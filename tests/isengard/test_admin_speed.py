"""Each page of the cockpit asks the database as often for a thousand rows as for ten."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from characters.models import Character, Lora, TrainingImage
from isengard.cockpit import look
from isengard.cockpit.overview import figures
from jobs.models import Artifact, Attempt, IdempotencyKey, Job, JobLogLine, Status
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

FEW, MANY = 10, 1000
STATUSES = (Status.COMPLETED, Status.FAILED, Status.QUEUED, Status.CANCELLED)


def fill(first: int, last: int, admin: User) -> None:
    """Add rows of every table that grows, numbered from `first` up to `last`."""
    numbers = range(first, last)
    image = {"sha256": rows.SHA, "content_type": "image/png", "width": 64, "height": 64, "bytes": 9}
    Character.objects.bulk_create(
        Character(id=f"char-{n}", name=f"Ann {n}", trigger_word="ann_x", lora_versions_issued=1) for n in numbers
    )
    TrainingImage.objects.bulk_create(
        TrainingImage(character_id=f"char-{n}", name="a.png", key=f"uploads/{n}", sha256_as_sent=f"{n:064}", **image)
        for n in numbers
    )
    Lora.objects.bulk_create(
        Lora(character_id=f"char-{n}", version=1, name=f"v1 {n}", key=f"loras/{n}", size_bytes=1, sha256=rows.SHA)
        for n in numbers
    )
    fill_jobs(numbers)
    kind = ContentType.objects.get_for_model(Job)
    LogEntry.objects.bulk_create(
        LogEntry(user=admin, content_type=kind, object_id=f"gen-{n}", object_repr=f"gen-{n}", action_flag=CHANGE)
        for n in numbers
    )
    User.objects.bulk_create(User(username=f"person {n}") for n in numbers)


def fill_jobs(numbers: range) -> None:
    """Add jobs of these numbers, each with an attempt, a picture, a log line and the key of its request."""
    now = timezone.now()
    Job.objects.bulk_create(_job(n, now - timedelta(minutes=n)) for n in numbers)
    Attempt.objects.bulk_create(
        Attempt(job_id=f"gen-{n}", number=1, slot="generation@here", claimed_at=now, ended_at=now) for n in numbers
    )
    Artifact.objects.bulk_create(
        Artifact(
            job_id=f"gen-{n}",
            type="output",
            name=f"gen-{n}-0.png",
            key=f"outputs/gen-{n}/1/gen-{n}-0.png",
            size_bytes=6,
            details={"index": 0, "seed": n, "prompt": "a photo", "width": 512, "height": 512, "loras": []},
        )
        for n in numbers
    )
    JobLogLine.objects.bulk_create(JobLogLine(job_id=f"gen-{n}", level="INFO", event="e", message="m") for n in numbers)
    IdempotencyKey.objects.bulk_create(
        IdempotencyKey(scope="anonymous", key=f"k-{n}", fingerprint=rows.SHA, job_id=f"gen-{n}") for n in numbers
    )


def _job(n: int, at: Any) -> Job:
    status = STATUSES[n % len(STATUSES)]
    has_ended = status != Status.QUEUED
    return Job(
        id=f"gen-{n}",
        kind="generation",
        status=status,
        character_id=f"char-{n}",
        created_at=at,
        started_at=at if has_ended else None,
        completed_at=at if has_ended else None,
        failure_cause=f"cause {n % 5}" if status == Status.FAILED else "",
        config={"prompt": "a photo", "model_variant": "flux-dev"},
        order={"count": 1, "loras": [], "model": {"name": "flux-dev", "family": "flux"}},
    )


def pages() -> Iterator[str]:
    """Yield the address of each page in the sidebar, and of one page of each kind of row that grows."""
    for group in look.unfold_settings()["SIDEBAR"]["navigation"]:
        yield from (str(item["link"]) for item in group["items"])
    yield reverse("overview")
    yield reverse("admin:jobs_job_changelist") + "?status__exact=failed&q=gen"
    yield reverse("admin:characters_character_change", args=["char-1"])
    yield reverse("admin:characters_lora_change", args=[Lora.objects.get(name="v1 1").pk])
    yield reverse("admin:jobs_job_change", args=["gen-1"])
    yield reverse("admin:jobs_job_change", args=["gen-2"])


def queries_by_page(client: Client, addresses: list[str]) -> dict[str, int]:
    found = {}
    for address in addresses:
        figures.forget()
        with CaptureQueriesContext(connection) as captured:
            response = client.get(address)
            b"".join(response) if response.streaming else response.content
        assert response.status_code == 200, (address, response)
        found[address] = len(captured)
    return found


def test_no_page_asks_more_often_because_there_are_more_rows(
    admin_client: Client, admin_user: User, settings: Any, tmp_path: Path
) -> None:
    rows.use_empty_storage(settings, tmp_path)
    rows.new_slot()
    fill(0, FEW, admin_user)
    addresses = list(pages())
    # What is kept for the life of the process is asked for once.
    queries_by_page(admin_client, addresses)
    few = queries_by_page(admin_client, addresses)
    fill(FEW, MANY, admin_user)
    many = queries_by_page(admin_client, addresses)
    assert {page: (few[page], many[page]) for page in few if many[page] > few[page]} == {}
