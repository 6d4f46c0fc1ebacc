from typing import Any

import pytest
from rest_framework.test import APIClient

from characters.models import Character
from tests.characters.making import new_character

pytestmark = pytest.mark.django_db

REFUSED = [
    ("name", ""),
    ("name", "   "),
    ("name", "x" * 101),
    ("name", None),
    ("name", 123),
    ("name", True),
    ("name", ["Ada"]),
    ("name", {"first": "Ada"}),
    ("name", "Ada\nLovelace"),
    ("name", "Ada\x85Lovelace"),
    ("name", "Ada\u2028Lovelace"),
    ("trigger_word", ""),
    ("trigger_word", "a"),
    ("trigger_word", " a "),
    ("trigger_word", "x" * 51),
    ("trigger_word", None),
    ("trigger_word", 12),
    ("trigger_word", 1.5),
    ("trigger_word", "a.b"),
    ("trigger_word", "ada, person"),
    ("trigger_word", "[trigger]"),
    ("trigger_word", "${HOME}"),
    ("trigger_word", "a/b"),
    ("trigger_word", "a\tb"),
    ("trigger_word", "a\u00a0b"),
    ("trigger_word", "a\u200bb"),
    ("trigger_word", "\u0301a"),
    ("trigger_word", "(ada:1.2)"),
    ("trigger_word", "ada😀"),
    ("description", "x" * 2001),
    ("description", 5),
    ("description", False),
    ("description", "a\x07b"),
]
TAKEN = [
    ("name", "x" * 100),
    ("name", "Ω"),
    ("name", "名前 (two)"),
    ("trigger_word", "ab"),
    ("trigger_word", "x" * 50),
    ("trigger_word", "ohwx-person_2 b"),
    ("trigger_word", "имя человек"),
    ("trigger_word", "नमस्ते"),
    ("trigger_word", "人物"),
    ("description", ""),
    ("description", "x" * 2000),
    ("description", "two\nlines\tand a tab"),
    ("description", None),
]


def whole(**fields: Any) -> dict[str, Any]:
    return {"name": "Ada", "description": "", "trigger_word": "ada_person", **fields}


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    response = APIClient().post("/api/characters", whole(**{field: value}))
    assert response.status_code == 400
    assert response.json()["detail"].startswith(f"{field}: ")
    assert not Character.objects.exists()


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_a_bad_value_changes_nothing(field: str, value: Any) -> None:
    made = new_character()
    response = APIClient().patch(f"/api/characters/{made['id']}", {field: value})
    assert response.status_code == 400
    assert response.json()["detail"].startswith(f"{field}: ")
    assert APIClient().get(f"/api/characters/{made['id']}").json() == made


@pytest.mark.parametrize(("field", "value"), TAKEN)
def test_a_value_at_the_edge_is_kept_as_it_was_sent(field: str, value: Any) -> None:
    assert new_character(**{field: value})[field] == value


@pytest.mark.parametrize("field", ["name", "trigger_word", "description"])
def test_a_nul_is_refused_everywhere(field: str) -> None:
    response = APIClient().post("/api/characters", whole(**{field: "two\0words"}))
    assert response.status_code == 400
    assert isinstance(response.json()["detail"], str)


@pytest.mark.parametrize("field", ["name", "trigger_word"])
def test_a_missing_field_is_named(field: str) -> None:
    body = whole()
    del body[field]
    response = APIClient().post("/api/characters", body)
    assert (response.status_code, response.json()["detail"]) == (400, f"{field}: This field is required.")


def test_values_are_trimmed() -> None:
    made = new_character(name="  Ada  ", trigger_word=" ada ")
    assert (made["name"], made["trigger_word"]) == ("Ada", "ada")


@pytest.mark.parametrize("key", ["nmae", "id", "created_at", "image_count", "lora_path", ""])
def test_a_key_that_cannot_be_set_is_refused_by_name(key: str) -> None:
    made = new_character()
    for response in (
        APIClient().post("/api/characters", whole(**{key: "x"})),
        APIClient().patch(f"/api/characters/{made['id']}", {key: "x"}),
    ):
        assert response.status_code == 400
        assert key in response.json()["detail"]
    assert Character.objects.count() == 1


@pytest.mark.parametrize("body", ["[]", '"text"', "7", "null", "true", "{", ""])
def test_a_body_that_is_no_object_is_refused(body: str) -> None:
    response = APIClient().generic("POST", "/api/characters", body, content_type="application/json")
    assert response.status_code == 400
    assert isinstance(response.json()["detail"], str)


def test_a_form_is_no_json() -> None:
    response = APIClient().post("/api/characters", whole(), format="multipart")
    assert response.status_code == 415
    assert isinstance(response.json()["detail"], str)


def test_a_method_that_is_not_there_is_named_as_such() -> None:
    response = APIClient().put("/api/characters", whole())
    assert response.status_code == 405
    assert isinstance(response.json()["detail"], str)
