from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from characters import files, lifecycle
from characters.models import Character, Lora, TrainingImage
from tests.characters.making import jpeg, new_character, upload

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> list[lifecycle.DeleteCallback]:
    registered: list[lifecycle.DeleteCallback] = []
    monkeypatch.setattr(lifecycle, "_delete_callbacks", registered)
    return registered


@pytest.fixture
def character_id() -> str:
    """Return a character with an image and a LoRA, each with its file."""
    made = str(new_character()["id"])
    upload(made, ("a.jpg", jpeg()))
    key = f"loras/{made}/v1.safetensors"
    files.publish(key, BytesIO(b"weights"))
    Lora.objects.create(character_id=made, version=1, name="v1", key=key, size_bytes=7, sha256="0" * 64)
    return made


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_images_and_loras_go_with_their_character(character_id: str, root: Path) -> None:
    assert len(files_below(root)) == 2
    assert APIClient().delete(f"/api/characters/{character_id}").status_code == 204
    assert not TrainingImage.objects.exists()
    assert not Lora.objects.exists()
    assert files_below(root) == []
    assert not (root / "uploads" / character_id).exists()


def test_other_characters_keep_theirs(character_id: str, root: Path) -> None:
    other = new_character()["id"]
    upload(other, ("a.jpg", jpeg()))
    lifecycle.delete_character(character_id)
    assert [path.parent.name for path in files_below(root)] == [other]


def test_whoever_wants_to_know_is_told_while_the_character_is_still_there(
    character_id: str, callbacks: list[lifecycle.DeleteCallback]
) -> None:
    told: list[tuple[str, bool]] = []
    lifecycle.on_delete(lambda gone: told.append((gone, Character.objects.filter(pk=gone).exists())))
    lifecycle.delete_character(character_id)
    assert told == [(character_id, True)]


def test_a_character_stays_whole_if_its_jobs_cannot_be_cancelled(
    character_id: str, root: Path, callbacks: list[lifecycle.DeleteCallback]
) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("cannot cancel")

    lifecycle.on_delete(fail)
    with pytest.raises(RuntimeError, match="cannot cancel"):
        lifecycle.delete_character(character_id)
    assert Character.objects.filter(pk=character_id).exists()
    assert len(files_below(root)) == 2


def test_a_file_that_cannot_be_removed_does_not_keep_the_others(
    character_id: str, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = root / TrainingImage.objects.get().key
    image.unlink()
    (image / "in the way").mkdir(parents=True)
    lifecycle.delete_character(character_id)
    assert files_below(root) == []
    assert "A file could not be removed" in caplog.text


def test_a_second_deletion_finds_nothing(character_id: str) -> None:
    lifecycle.delete_character(character_id)
    with pytest.raises(Character.DoesNotExist):
        lifecycle.delete_character(character_id)
