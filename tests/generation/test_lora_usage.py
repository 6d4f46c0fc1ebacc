"""A LoRA that a generation still needs cannot be deleted."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from characters.models import Lora
from jobs.models import Job
from tests.characters.lora_making import lora_bytes, upload_lora

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def lora() -> dict[str, Any]:
    return upload_lora()


def generate(lora_id: str) -> HttpResponse:
    body = {"config": {"prompt": "a portrait", "lora_id": lora_id}}
    return Client().post("/api/generation", json.dumps(body), content_type="application/json")


def delete(lora_id: str) -> HttpResponse:
    return Client().delete(f"/api/loras/{lora_id}")


def file_is_there(lora: dict[str, Any], root: Path) -> bool:
    return (root / lora["path"].removeprefix("/data/")).exists()


@pytest.mark.parametrize("prefix", ["", "uploaded:"])
def test_an_uploaded_lora_is_taken_by_its_id(lora: dict[str, Any], prefix: str) -> None:
    answer = generate(prefix + lora["id"])
    assert answer.status_code == 201
    (ordered,) = Job.objects.get(pk=answer.json()["id"]).order["loras"]
    assert (ordered["id"], ordered["name"]) == (lora["id"], f"uploaded/{lora['id']}.safetensors")


def test_a_lora_that_a_waiting_generation_names_stays(lora: dict[str, Any], root: Path) -> None:
    job = generate(lora["id"]).json()["id"]
    refused = delete(lora["id"])
    assert refused.status_code == 409
    assert refused.json() == {
        "detail": f"LoRA {lora['id']} is in use by {job}: wait for it, or cancel it first.",
    }
    assert file_is_there(lora, root)


def test_of_many_users_the_first_is_named(lora: dict[str, Any]) -> None:
    first = generate(lora["id"]).json()["id"]
    generate(lora["id"])
    assert f"in use by {first} and 1 more" in delete(lora["id"]).json()["detail"]


def test_a_lora_whose_generations_have_ended_can_go(lora: dict[str, Any], root: Path) -> None:
    job = generate(lora["id"]).json()["id"]
    Client().post(f"/api/generation/{job}/cancel")
    assert delete(lora["id"]).status_code == 200
    assert not file_is_there(lora, root)
    assert generate(lora["id"]).status_code == 404


def test_a_lora_stays_while_the_engine_of_a_cancelled_generation_is_at_work(lora: dict[str, Any]) -> None:
    job = generate(lora["id"]).json()["id"]
    Client().post(f"/api/generation/{job}/cancel")
    Job.objects.filter(pk=job).update(token="t", holder={"worker": {}})
    assert delete(lora["id"]).status_code == 409


def test_generations_without_it_keep_no_lora(lora: dict[str, Any]) -> None:
    generate(upload_lora(lora_bytes(0.5))["id"])
    Job.objects.create(id="gen-plain", kind="generation", order={"count": 1, "loras": []})
    assert delete(lora["id"]).status_code == 200


def test_operators_cannot_delete_it_either(lora: dict[str, Any], admin_client: Client) -> None:
    job = generate(lora["id"]).json()["id"]
    page = admin_client.get(reverse("admin:characters_lora_delete", args=[lora["id"]]))
    assert f"in use by {job}" in page.content.decode()
    admin_client.post(reverse("admin:characters_lora_delete", args=[lora["id"]]), {"post": "yes"})
    assert Lora.objects.filter(pk=lora["id"]).exists()
    Client().post(f"/api/generation/{job}/cancel")
    admin_client.post(reverse("admin:characters_lora_delete", args=[lora["id"]]), {"post": "yes"})
    assert not Lora.objects.exists()


def test_a_deletion_that_meets_a_generation_never_takes_its_file(lora: dict[str, Any], root: Path) -> None:
    start = Barrier(2)

    def at_once(act: Any) -> int:
        start.wait(timeout=30)
        try:
            return int(act(lora["id"]).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        generated, deleted = pool.map(at_once, [generate, delete])
    assert (generated, deleted) in [(201, 409), (404, 200)]
    assert file_is_there(lora, root) == (generated == 201)
