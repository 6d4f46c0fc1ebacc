from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from rest_framework.test import APIClient

from characters import exporting
from characters.models import TrainingImage
from tests.characters.making import UNKNOWN_ID, encoded, jpeg, new_character, picture, upload
from tests.characters.test_image_import import captions, imported
from tests.characters.zipping import members_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def character_id(root: Path) -> str:
    """A character with three images, of which two have a caption."""
    character_id = str(new_character()["id"])
    upload(
        character_id, ("a.jpg", jpeg((200, 150))), ("a.png", encoded(picture(), "PNG")), ("写真.jpg", jpeg((70, 70)))
    )
    TrainingImage.objects.filter(name="a.png").update(caption="a wall")
    TrainingImage.objects.filter(name="写真.jpg").update(caption="壁\n二行目")
    return character_id


def get(character_id: str) -> tuple[Any, bytes]:
    response = APIClient().get(f"/api/characters/{character_id}/images.zip")
    assert response.status_code == 200
    return response, b"".join(response.streaming_content)


def test_the_archive_holds_the_images_and_their_captions(character_id: str, root: Path) -> None:
    response, content = get(character_id)
    members = members_of(content)
    assert list(members) == ["a.jpg", "a.png", "a.png.txt", "写真.jpg", "写真.txt"]
    assert members["a.jpg"] == (root / TrainingImage.objects.get(name="a.jpg").key).read_bytes()
    assert (members["a.png.txt"], members["写真.txt"].decode()) == (b"a wall", "壁\n二行目")
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{character_id}-images.zip"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


def test_members_are_plain_files_that_everybody_may_read(character_id: str) -> None:
    with ZipFile(BytesIO(get(character_id)[1])) as archive:
        assert {member.external_attr >> 16 for member in archive.infolist()} == {0o100644}


def test_an_export_comes_back_into_its_character_without_doubles(character_id: str) -> None:
    before = captions()
    _, content = get(character_id)
    answer = imported(character_id, content)
    assert answer == {"uploaded": ["a.jpg", "a.png", "写真.jpg"], "rejected": [], "total_images": 3}
    assert captions() == before


def test_an_export_can_be_imported_into_another_character(character_id: str) -> None:
    other = new_character()["id"]
    answer = imported(other, get(character_id)[1])
    assert answer == {"uploaded": ["a.jpg", "a.png", "写真.jpg"], "rejected": [], "total_images": 3}
    written = dict(TrainingImage.objects.filter(character_id=other).values_list("name", "caption"))
    assert written == {"a.jpg": None, "a.png": "a wall", "写真.jpg": "壁\n二行目"}


def test_a_character_without_images_has_an_empty_archive() -> None:
    assert members_of(get(new_character()["id"])[1]) == {}


def test_an_image_whose_file_is_gone_is_left_out(character_id: str, root: Path) -> None:
    (root / TrainingImage.objects.get(name="a.png").key).unlink()
    assert list(members_of(get(character_id)[1])) == ["a.jpg", "写真.jpg", "写真.txt"]


def test_no_more_than_a_piece_of_an_image_is_in_memory(
    character_id: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / TrainingImage.objects.get(name="a.jpg").key).write_bytes(bytes(100_000))
    monkeypatch.setattr(exporting, "CHUNK_BYTES", 4096)
    pieces = [len(piece) for piece in exporting.image_archive(character_id)]
    assert sum(pieces) > 100_000
    assert max(pieces) < 3 * 4096


def test_head_makes_no_archive(character_id: str) -> None:
    response = APIClient().head(f"/api/characters/{character_id}/images.zip")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Type"] == "application/zip"


def test_an_unknown_character_exports_nothing() -> None:
    response = APIClient().get(f"/api/characters/{UNKNOWN_ID}/images.zip")
    assert (response.status_code, response.json()) == (404, {"detail": f"Character {UNKNOWN_ID} not found"})
