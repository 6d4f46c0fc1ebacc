"""Queues, slots and GPUs on the admin pages."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.models import Instruction, QueueState, Slot
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db


def press(client: Client, model: str, key: str, verb: str) -> Any:
    response = client.post(reverse(f"admin:jobs_{model}_act", args=[quote(key)]), {"verb": verb})
    assert response.status_code == 302
    return response


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    return rows.use_empty_storage(settings, tmp_path)


def test_every_kind_has_a_queue_in_the_list_and_looking_writes_nothing(admin_client: Client) -> None:
    response = admin_client.get(reverse("admin:jobs_queuestate_changelist"))
    assert response.content.decode().count("badge-open") == 2
    assert response.context["cl"].result_count == 2
    assert not QueueState.objects.exists()


@pytest.mark.parametrize("place", ["page", ""])
def test_a_queue_is_paused_and_resumed_by_the_buttons_of_its_page_and_of_the_list(
    admin_client: Client, place: str
) -> None:
    page = reverse("admin:jobs_queuestate_change", args=["training"])
    back = page if place else reverse("admin:jobs_queuestate_changelist")
    assert "Pause" in admin_client.get(page).content.decode()
    assert press(admin_client, "queuestate", "training", f"pause {place}").url == back
    assert QueueState.objects.get(pk="training").is_paused
    assert "badge-paused" in admin_client.get(page).content.decode()
    assert 'value="resume' in admin_client.get(back).content.decode()
    assert press(admin_client, "queuestate", "training", f"resume {place}").url == back
    assert not QueueState.objects.get(pk="training").is_paused
    assert LogEntry.objects.filter(object_id="training").count() == 2


def test_a_second_click_on_pause_does_nothing_and_says_so(admin_client: Client) -> None:
    for _ in range(2):
        press(admin_client, "queuestate", "training", "pause")
    said = [str(message) for message in admin_client.get(reverse("admin:index")).context["messages"]]
    assert said[-1] == "training is paused already."
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize("model", ["queuestate", "slot"])
def test_buttons_do_nothing_for_viewers_on_a_look_or_with_other_words(
    client: Client, admin_client: Client, model: str
) -> None:
    rows.new_slot("training")
    address = reverse(f"admin:jobs_{model}_act", args=["training"])
    assert admin_client.get(address).status_code == 405
    assert admin_client.post(address, {"verb": "explode"}).status_code == 404
    assert admin_client.post(reverse(f"admin:jobs_{model}_act", args=["nobody"]), {"verb": "pause"}).status_code == 404
    client.force_login(rows.viewer())
    assert client.post(address, {"verb": "pause"}).status_code == 403
    assert 'class="act"' not in client.get(reverse(f"admin:jobs_{model}_changelist")).content.decode()
    assert 'class="act"' not in client.get(reverse(f"admin:jobs_{model}_change", args=["training"])).content.decode()


def test_resuming_a_queue_rings_for_what_waits(admin_client: Client) -> None:
    QueueState.objects.create(kind="training", is_paused=True)
    rows.new_slot("training@here#gpu0", kind="training", capacity=1)
    rows.new_job("train-1", kind="training")
    before = rows.count_rings("training")
    press(admin_client, "queuestate", "training", "resume")
    assert rows.count_rings("training") == before + 1


def test_a_viewer_sees_a_queue_but_cannot_pause_it(client: Client) -> None:
    client.force_login(rows.viewer())
    page = reverse("admin:jobs_queuestate_change", args=["training"])
    assert client.get(page).status_code == 200
    assert client.post(page, {"is_paused": "on"}).status_code == 403
    assert not QueueState.objects.exists()


def test_a_slot_is_drained_and_takes_work_again(admin_client: Client) -> None:
    slot = rows.new_slot("training@here#gpu0")
    job = rows.running_job("gen-1", slot)
    press(admin_client, "slot", slot.pk, "drain page")
    assert Slot.objects.get().drained_since is not None
    assert Instruction.objects.get(job=job).verb == "drain"
    page = rows.page_of(admin_client, slot)
    assert "badge-drained" in page
    assert "Save and leave now" in page
    press(admin_client, "slot", slot.pk, "resume")
    press(admin_client, "slot", slot.pk, "resume")
    assert Slot.objects.get().drained_since is None
    assert LogEntry.objects.count() == 2


def test_what_runs_in_a_drained_slot_may_come_to_its_end_and_be_asked_to_leave_after_all(admin_client: Client) -> None:
    slot = rows.new_slot("training@here#gpu0")
    rows.running_job("gen-1", slot)
    press(admin_client, "slot", slot.pk, "finish")
    assert not Instruction.objects.exists()
    press(admin_client, "slot", slot.pk, "drain")
    assert Instruction.objects.get().verb == "drain"


def test_several_slots_are_drained_from_their_list(admin_client: Client) -> None:
    names = [rows.new_slot(f"generation@{number}").pk for number in range(2)]
    chosen = {"action": "drain_selected", "_selected_action": names}
    said = admin_client.post(reverse("admin:jobs_slot_changelist"), chosen, follow=True).context["messages"]
    assert Slot.objects.filter(drained_since=None).count() == 0
    assert [str(message).split(":")[0] for message in said] == ["generation@0", "generation@1"]


def test_the_list_of_slots_takes_as_many_queries_for_one_as_for_many(admin_client: Client) -> None:
    def queries_with(first: int, last: int) -> int:
        for number in range(first, last):
            rows.running_job(f"gen-{number}", rows.new_slot(f"generation@{number}", drained_since=timezone.now()))
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse("admin:jobs_slot_changelist"))
        return len(captured)

    queries_with(0, 1)
    assert queries_with(1, 2) == queries_with(2, 12)


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


def test_a_gpu_says_how_full_it_is_as_the_dashboard_does(admin_client: Client) -> None:
    gpu = rows.new_slot().gpu
    assert "Unknown: no NVIDIA driver has told them." in rows.page_of(admin_client, gpu)
    gpu.figures = {"utilization": 97.0, "memory_used": 24000.0, "memory_total": 24564.0, "temperature": 71.0}
    gpu.figures_at = timezone.now() - timedelta(minutes=3)
    gpu.save()
    page = rows.page_of(admin_client, gpu)
    assert re.search(r"97 % busy, 23\.4 of 24\.0 GiB, 71 °C; measured 3 min [0-5]\d s ago", page)
