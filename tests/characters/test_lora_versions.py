from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError

from characters import loras
from characters.models import Character, Lora
from tests.characters.making import UNKNOWN_ID, new_character

pytestmark = pytest.mark.django_db


@pytest.fixture
def character_id() -> str:
    return str(new_character()["id"])


def a_lora(**fields: Any) -> Lora:
    return Lora.objects.create(**{"name": "x", "size_bytes": 1, "sha256": "0" * 64, **fields})


def test_versions_count_up_from_one(character_id: str) -> None:
    assert [loras.issue_version(character_id) for _ in range(3)] == [1, 2, 3]


def test_characters_count_apart(character_id: str) -> None:
    loras.issue_version(character_id)
    assert loras.issue_version(new_character()["id"]) == 1


def test_a_version_never_comes_back_after_its_lora_was_deleted(character_id: str) -> None:
    version = loras.issue_version(character_id)
    made = a_lora(character_id=character_id, version=version, key="loras/a")
    loras.delete_lora(made.pk)
    assert loras.issue_version(character_id) == 2


def test_an_unknown_character_gets_no_version() -> None:
    with pytest.raises(Character.DoesNotExist):
        loras.issue_version(UNKNOWN_ID)


def test_the_newest_lora_has_the_highest_version(character_id: str) -> None:
    assert loras.current_lora(character_id) is None
    for version in (2, 10, 9):
        a_lora(character_id=character_id, version=version, key=f"loras/{version}")
    newest = loras.current_lora(character_id)
    assert newest is not None
    assert newest.version == 10


@pytest.mark.parametrize(("has_character", "version"), [(True, None), (False, 1), (True, 0)])
def test_a_version_without_a_character_or_the_reverse_is_refused(
    character_id: str, has_character: bool, version: int | None
) -> None:
    with pytest.raises(IntegrityError):
        a_lora(character_id=character_id if has_character else None, version=version, key="loras/a")


def test_a_version_is_given_once(character_id: str) -> None:
    a_lora(character_id=character_id, version=1, key="loras/a")
    with pytest.raises(IntegrityError):
        a_lora(character_id=character_id, version=1, key="loras/b")


@pytest.mark.django_db(transaction=True)
def test_the_file_of_a_deleted_lora_is_gone(character_id: str, settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    (tmp_path / "v1.safetensors").write_bytes(b"weights")
    made = a_lora(character_id=character_id, version=1, key="v1.safetensors")
    loras.delete_lora(made.pk)
    assert list(tmp_path.iterdir()) == []
