"""Queues, slots and GPUs on the admin pages."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from jobs.models import QueueState, Slot
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return rows.use_empty_storage(settings, tmp_path)


def test_every_kind_has_a_queue_in_the_list_and_looking_writes_nothing(admin_client: Client) -> None:
    response = admin_client.get(reverse("admin:jobs_queuestate_changelist"))
    assert response.content.decode().count("badge-open") == 2
    assert response.context["cl"].result_count == 2
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
    rows.new_slot("training@here#gpu0", kind="training", capacity=1)
    rows.new_job("train-1", kind="training")
    before = rows.count_rings("training")
    admin_client.post(reverse("admin:jobs_queuestate_change", args=["training"]), {})
    assert rows.count_rings("training") == before + 1


def test_a_viewer_sees_a_queue_but_cannot_pause_it(client: Client) -> None:
    client.force_login(rows.viewer())
    page = reverse("admin:jobs_queuestate_change", args=["training"])
    assert client.get(page).status_code == 200
    assert client.post(page, {"is_paused": "on"}).status_code == 403
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
    assert "gen-1" in rows.page_of(admin_client, served)


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
