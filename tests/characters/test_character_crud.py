import re
from typing import Any

import pytest
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from characters.models import Character, Lora
from tests.characters.making import UNKNOWN_ID, jpeg, new_character, upload

pytestmark = pytest.mark.django_db

MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def lora(character_id: str, version: int) -> Lora:
    return Lora.objects.create(
        character_id=character_id,
        version=version,
        name=f"v{version}",
        key=f"loras/{character_id}/v{version}.safetensors",
        size_bytes=1,
        sha256="0" * 64,
    )


def test_a_new_character_is_answered_whole() -> None:
    response = APIClient().post(
        "/api/characters", {"name": " John Smith ", "description": "A man", "trigger_word": "johnsmith_person"}
    )
    answer = response.json()
    assert response.status_code == 201
    assert re.fullmatch(r"char-[0-9a-f]{12}", answer["id"])
    assert MILLISECONDS.fullmatch(answer["created_at"])
    assert answer == {
        "id": answer["id"],
        "name": "John Smith",
        "description": "A man",
        "trigger_word": "johnsmith_person",
        "created_at": answer["created_at"],
        "updated_at": answer["created_at"],
        "image_count": 0,
        "lora_path": None,
        "lora_trained_at": None,
    }


def test_a_character_needs_no_description() -> None:
    assert new_character()["description"] is None


def test_two_characters_may_share_a_trigger_word() -> None:
    assert new_character(trigger_word="same")["id"] != new_character(trigger_word="same")["id"]


def test_a_character_can_be_read_again() -> None:
    made = new_character()
    assert APIClient().get(f"/api/characters/{made['id']}").json() == made


def test_all_characters_are_listed_newest_first() -> None:
    made = [new_character(name=name) for name in ("one", "two", "three")]
    response = APIClient().get("/api/characters")
    assert response.json() == list(reversed(made))
    assert response.headers["X-Total-Count"] == "3"


def test_a_list_can_be_cut() -> None:
    for name in ("one", "two", "three"):
        new_character(name=name)
    response = APIClient().get("/api/characters?limit=1&offset=1")
    assert [character["name"] for character in response.json()] == ["two"]
    assert response.headers["X-Total-Count"] == "3"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=", "offset=-1"])
def test_a_bad_page_is_refused(query: str) -> None:
    response = APIClient().get(f"/api/characters?{query}")
    assert response.status_code == 400
    assert query.split("=")[0] in response.json()["detail"]


def test_a_list_takes_the_same_number_of_queries_however_long_it_is(django_assert_num_queries: Any) -> None:
    for number in range(5):
        made = new_character()
        upload(made["id"], ("a.jpg", jpeg(colour=(number, 0, 0))))
        lora(made["id"], 1)
    with django_assert_num_queries(2):
        assert len(APIClient().get("/api/characters").json()) == 5


def test_the_path_and_time_are_those_of_the_newest_lora() -> None:
    character_id = new_character()["id"]
    newest = lora(character_id, 10)
    lora(character_id, 9)
    answer = APIClient().get(f"/api/characters/{character_id}").json()
    assert answer["lora_path"] == f"/data/loras/{character_id}/v10.safetensors"
    trained_at = parse_datetime(answer["lora_trained_at"])
    assert trained_at is not None
    assert abs((trained_at - newest.created_at).total_seconds()) < 0.001


def test_images_are_counted() -> None:
    character_id = new_character()["id"]
    upload(character_id, ("a.jpg", jpeg()), ("b.jpg", jpeg(colour=(0, 0, 0))))
    assert APIClient().get("/api/characters").json()[0]["image_count"] == 2


def test_a_change_touches_what_is_named_and_the_time_of_the_update() -> None:
    made = new_character(description="before")
    response = APIClient().patch(f"/api/characters/{made['id']}", {"name": "Grace"})
    answer = response.json()
    assert response.status_code == 200
    assert answer == {**made, "name": "Grace", "updated_at": answer["updated_at"]}
    assert Character.objects.get(pk=made["id"]).updated_at > Character.objects.get(pk=made["id"]).created_at


def test_a_description_can_be_taken_away() -> None:
    made = new_character(description="before")
    answer = APIClient().patch(f"/api/characters/{made['id']}", {"description": None}).json()
    assert answer["description"] is None


@pytest.mark.parametrize("body", [{}, None])
def test_a_change_of_nothing_changes_nothing(body: dict[str, Any] | None) -> None:
    made = new_character()
    response = APIClient().patch(f"/api/characters/{made['id']}", body)
    assert (response.status_code, response.json()) == (200, made)


def test_a_deleted_character_is_gone_and_the_answer_is_empty() -> None:
    path = f"/api/characters/{new_character()['id']}"
    response = APIClient().delete(path)
    assert (response.status_code, response.content) == (204, b"")
    assert APIClient().get(path).status_code == 404


@pytest.mark.parametrize("character_id", [UNKNOWN_ID, "nonsense", "char-%C3%A4"])
@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_an_unknown_character_is_not_found(method: str, character_id: str) -> None:
    response = getattr(APIClient(), method)(f"/api/characters/{character_id}")
    named = character_id.replace("%C3%A4", "ä")
    assert (response.status_code, response.json()) == (404, {"detail": f"Character {named} not found"})


def test_a_nul_in_an_id_is_not_found() -> None:
    assert APIClient().get("/api/characters/char-%00").status_code == 404
