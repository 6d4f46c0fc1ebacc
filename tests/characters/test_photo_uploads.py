import hashlib
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from characters.models import TrainingImage
from characters.uploading import BoundedFiles
from tests.characters.making import UNKNOWN_ID, decoded, encoded, jpeg, new_character, picture, send, upload

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def character_id() -> str:
    return str(new_character()["id"])


def stored_files(root: Path) -> list[Path]:
    return [path for path in (root / "uploads").rglob("*") if path.is_file()]


def test_photos_of_each_format_are_taken(character_id: str) -> None:
    answer = upload(
        character_id,
        ("one.jpg", jpeg()),
        ("two.png", encoded(picture(), "PNG")),
        ("three.webp", encoded(picture(), "WEBP")),
    )
    assert answer == {"uploaded": ["one.jpg", "two.png", "three.webp"], "rejected": [], "total_images": 3}


def test_a_refused_file_costs_the_others_nothing(character_id: str) -> None:
    answer = upload(
        character_id, ("bad.gif", encoded(picture(), "GIF")), ("good.jpg", jpeg()), ("cut.jpg", jpeg()[:300])
    )
    assert answer == {
        "uploaded": ["good.jpg"],
        "rejected": [
            {"filename": "bad.gif", "reason": "Invalid image type"},
            {"filename": "cut.jpg", "reason": "Image is corrupt"},
        ],
        "total_images": 1,
    }


def test_nothing_is_kept_of_refused_files(character_id: str, root: Path) -> None:
    answer = upload(character_id, ("a.txt", b"hello"), ("b.jpg", b""))
    assert (answer["uploaded"], len(answer["rejected"]), answer["total_images"]) == ([], 2, 0)
    assert not (root / "uploads").exists()


def test_a_file_that_is_too_large_is_refused_by_its_size(character_id: str) -> None:
    answer = upload(character_id, ("huge.jpg", jpeg() + bytes(20_000_001)), ("fine.jpg", jpeg()))
    assert answer["rejected"] == [{"filename": "huge.jpg", "reason": "Image is too large"}]
    assert answer["uploaded"] == ["fine.jpg"]


def test_the_same_file_again_is_kept_once_under_its_first_name(character_id: str, root: Path) -> None:
    upload(character_id, ("first.jpg", jpeg()))
    answer = upload(character_id, ("second.jpg", jpeg()))
    assert answer == {"uploaded": ["first.jpg"], "rejected": [], "total_images": 1}
    assert len(stored_files(root)) == 1


def test_two_characters_can_have_the_same_photo(character_id: str, root: Path) -> None:
    upload(character_id, ("a.jpg", jpeg()))
    assert upload(new_character()["id"], ("b.jpg", jpeg()))["uploaded"] == ["b.jpg"]
    assert len(stored_files(root)) == 2


def test_another_photo_of_the_same_name_gets_a_new_name(character_id: str) -> None:
    names = [upload(character_id, ("photo.jpg", jpeg(colour=(level, 0, 0))))["uploaded"] for level in (0, 90, 180)]
    assert names == [["photo.jpg"], ["photo-2.jpg"], ["photo-3.jpg"]]
    first = APIClient().get(f"/api/characters/{character_id}/images/photo.jpg")
    pixel = decoded(b"".join(first.streaming_content)).getpixel((5, 5))
    assert pixel == (0, 0, 0)


def test_the_stored_file_is_what_its_row_says(character_id: str, root: Path) -> None:
    sent = jpeg((100, 70))
    upload(character_id, ("a.jpg", sent))
    image = TrainingImage.objects.get()
    content = (root / image.key).read_bytes()
    assert stored_files(root) == [root / image.key]
    assert image.key.startswith(f"uploads/{character_id}/")
    assert image.sha256_as_sent == hashlib.sha256(sent).hexdigest()
    assert image.sha256 == hashlib.sha256(content).hexdigest()
    assert (image.bytes, image.width, image.height) == (len(content), 100, 70)
    assert image.content_type == "image/jpeg"


def test_a_photo_whose_row_cannot_be_written_leaves_no_file(
    character_id: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(TrainingImage, "save", refuse)
    with pytest.raises(RuntimeError, match="the database is gone"):
        send(character_id, ("a.jpg", jpeg()))
    assert stored_files(root) == []


def test_images_are_listed_as_they_came(character_id: str) -> None:
    upload(character_id, ("z.jpg", jpeg()), ("a.jpg", jpeg(colour=(0, 9, 0))))
    answer = APIClient().get(f"/api/characters/{character_id}/images").json()
    assert answer == {"images": ["z.jpg", "a.jpg"], "count": 2}


def test_a_name_that_means_a_folder_still_gets_its_place_in_the_answer(character_id: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename=".."\r\n\r\n' + jpeg() + b"\r\n--x--\r\n"
    path = f"/api/characters/{character_id}/images"
    response = APIClient().generic("POST", path, body, content_type="multipart/form-data; boundary=x")
    assert response.json()["uploaded"] == ["photo.jpg"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "files: Send at least one file."),
        ({"files": "text"}, "files: Send files, not text."),
        ({"file": "x"}, "file: There is no such field; send files as `files`."),
    ],
)
def test_a_form_without_files_is_refused(character_id: str, form: dict[str, str], said: str) -> None:
    response = APIClient().post(f"/api/characters/{character_id}/images", form, format="multipart")
    assert (response.status_code, response.json()) == (400, {"detail": said})


def test_a_body_that_is_no_form_is_refused(character_id: str) -> None:
    path = f"/api/characters/{character_id}/images"
    assert APIClient().post(path, {"files": []}).status_code == 415
    broken = APIClient().generic("POST", path, b"--x", content_type="multipart/form-data")
    assert broken.status_code == 400
    assert isinstance(broken.json()["detail"], str)


def test_too_many_files_at_once_are_refused(character_id: str) -> None:
    response = send(character_id, *((f"{number}.jpg", b"x") for number in range(101)))
    assert response.status_code == 400
    assert "at most 100" in response.json()["detail"]


def test_an_unknown_character_takes_no_photos() -> None:
    response = send(UNKNOWN_ID, ("a.jpg", jpeg()))
    assert (response.status_code, response.json()) == (404, {"detail": f"Character {UNKNOWN_ID} not found"})
    assert APIClient().get(f"/api/characters/{UNKNOWN_ID}/images").status_code == 404


def test_of_a_file_that_is_too_large_only_the_beginning_reaches_the_disk() -> None:
    arriving = BoundedFiles(max_bytes=20_000_000)
    arriving.new_file("files", "huge.jpg", "image/jpeg", None)
    for start in range(0, 50_000_000, 10_000_000):
        arriving.receive_data_chunk(bytes(10_000_000), start)
    with arriving.file_complete(50_000_000) as file:
        assert Path(file.temporary_file_path()).stat().st_size == 20_000_001


def test_no_temporary_file_outlives_its_request(character_id: str, settings: Any, tmp_path: Path) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "arriving")
    upload(character_id, ("a.jpg", jpeg()), ("b.txt", b"no photo"))
    assert list((tmp_path / "arriving").iterdir()) == []
