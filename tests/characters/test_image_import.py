import os
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponseBase
from rest_framework.test import APIClient

from characters import images
from characters.models import TrainingImage
from tests.characters.making import UNKNOWN_ID, encoded, jpeg, new_character, picture, upload
from tests.characters.zipping import encrypted, link, zipped

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "arriving")
    return tmp_path


@pytest.fixture
def character_id() -> str:
    return str(new_character()["id"])


def send(character_id: str, archive: bytes) -> HttpResponseBase:
    file = SimpleUploadedFile("photos.zip", archive, "application/zip")
    return APIClient().post(f"/api/characters/{character_id}/images.zip", {"file": file}, format="multipart")


def imported(character_id: str, archive: bytes) -> dict[str, Any]:
    response = send(character_id, archive)
    assert response.status_code == 201, response.content
    return dict(response.json())


def captions() -> dict[str, str | None]:
    return dict(TrainingImage.objects.values_list("name", "caption"))


def shade(level: int) -> bytes:
    return jpeg(colour=(level, 0, 0))


def test_images_are_imported_with_their_captions(character_id: str) -> None:
    answer = imported(
        character_id,
        zipped(
            ("a.jpg", shade(1)),
            ("a.txt", b"a woman in red\r\n"),
            ("b.png", encoded(picture(), "PNG")),
            ("b.png.txt", "女性\n二行目".encode()),
            ("c.jpg", shade(90)),
        ),
    )
    assert answer == {"uploaded": ["a.jpg", "b.png", "c.jpg"], "rejected": [], "total_images": 3}
    assert captions() == {"a.jpg": "a woman in red", "b.png": "女性\n二行目", "c.jpg": None}


def test_folders_do_not_matter_but_captions_stay_in_theirs(character_id: str) -> None:
    imported(
        character_id,
        zipped(
            ("one/a.jpg", shade(1)), ("one/a.txt", b"first"), ("two/a.jpg", shade(90)), ("two/A.TXT", b"not for a.jpg")
        ),
    )
    assert captions() == {"a.jpg": "first", "a-2.jpg": None}


def test_a_caption_with_a_byte_order_mark_or_decomposed_name_is_read(character_id: str) -> None:
    imported(character_id, zipped(("cafe\u0301.jpg", shade(1)), ("caf\u00e9.txt", b"\xef\xbb\xbfa cup")))
    assert captions() == {"caf\u00e9.jpg": "a cup"}


def test_images_of_one_stem_share_its_caption_unless_they_have_their_own(character_id: str) -> None:
    png = encoded(picture(), "PNG")
    imported(
        character_id, zipped(("a.jpg", shade(1)), ("a.png", png), ("a.txt", b"shared"), ("a.png.txt", b"of its own"))
    )
    assert captions() == {"a.jpg": "shared", "a.png": "of its own"}


def test_two_files_of_one_name_are_both_kept(character_id: str) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped(("a.jpg", shade(1)), ("a.jpg", shade(90)))
    assert imported(character_id, archive)["uploaded"] == ["a.jpg", "a-2.jpg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xff\xfe\x00", "Caption is not text in UTF-8"),
        (b"bell\x07", "Caption has control characters"),
        (b"x" * 2001, "Caption is longer than 2000 characters"),
        (b"x" * 90_000, "Caption is longer than 2000 characters"),
    ],
)
def test_a_wrong_caption_is_listed_and_its_image_kept(character_id: str, text: bytes, reason: str) -> None:
    answer = imported(character_id, zipped(("a.jpg", shade(1)), ("a.txt", text)))
    assert answer["uploaded"] == ["a.jpg"]
    assert answer["rejected"] == [{"filename": "a.txt", "reason": reason}]
    assert captions() == {"a.jpg": None}


def test_what_cannot_be_used_is_listed_with_the_reason_and_costs_nothing_else(character_id: str) -> None:
    answer = imported(
        character_id,
        zipped(
            link("link.jpg", "/etc/passwd"),
            ("../up.jpg", shade(1)),
            ("cut.jpg", shade(1)[:300]),
            ("huge.jpg", shade(1) + os.urandom(20_000_001)),
            ("inner.zip", zipped(("a.jpg", shade(1)))),
            ("lonely.txt", b"whose?"),
            ("__MACOSX/._good.jpg", b"x"),
            ("good.jpg", shade(90)),
            compression=ZIP_STORED,
        ),
    )
    assert answer["uploaded"] == ["good.jpg"]
    assert {refused["filename"]: refused["reason"] for refused in answer["rejected"]} == {
        "link.jpg": "It is a link or another special file",
        "up.jpg": "Its path leads out of the archive",
        "cut.jpg": "Image is corrupt",
        "huge.jpg": "Image is too large",
        "inner.zip": "Invalid image type",
        "lonely.txt": "There is no image that this caption could belong to",
    }


def test_an_encrypted_archive_is_listed_file_by_file(character_id: str) -> None:
    answer = imported(character_id, encrypted(zipped(("a.jpg", shade(1)))))
    assert answer["rejected"] == [{"filename": "a.jpg", "reason": "It is encrypted"}]


def test_nothing_is_written_beside_the_images(character_id: str, root: Path) -> None:
    imported(character_id, zipped(("../../evil.jpg", shade(1)), ("a.jpg", shade(2)), ("a.txt", b"x")))
    stored = [path for path in root.rglob("*") if path.is_file()]
    assert stored == [root / TrainingImage.objects.get().key]
    assert list((root / "arriving").iterdir()) == []


def test_an_image_the_character_has_keeps_its_name_and_gets_the_caption(character_id: str) -> None:
    upload(character_id, ("mine.jpg", shade(1)))
    answer = imported(character_id, zipped(("other.jpg", shade(1)), ("other.txt", b"new words")))
    assert answer == {"uploaded": ["mine.jpg"], "rejected": [], "total_images": 1}
    assert captions() == {"mine.jpg": "new words"}


def test_the_quota_holds_for_archives(character_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_IMAGES", 1)
    answer = imported(character_id, zipped(("a.jpg", shade(1)), ("b.jpg", shade(90))))
    assert answer["rejected"] == [{"filename": "b.jpg", "reason": "The character has its 1 images already"}]


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (b"no zip", "file: This is no ZIP file, or a broken one."),
        (jpeg(), "file: This is no ZIP file, or a broken one."),
        (
            zipped(*((f"{number}.jpg", b"") for number in range(1001)), compression=ZIP_STORED),
            "file: The archive must have at most 1000 files.",
        ),
    ],
)
def test_an_archive_that_cannot_be_read_is_refused(character_id: str, archive: bytes, said: str) -> None:
    response = send(character_id, archive)
    assert (response.status_code, response.json()) == (400, {"detail": said})


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "file: Send at least one file."),
        ({"file": "text"}, "file: Send files, not text."),
        ({"files": SimpleUploadedFile("a.zip", b"x")}, "files: There is no such field; send files as `file`."),
        (
            {"file": [SimpleUploadedFile("a.zip", b"x"), SimpleUploadedFile("b.zip", b"x")]},
            "file: Send one archive at a time.",
        ),
    ],
)
def test_a_form_without_one_archive_is_refused(character_id: str, form: dict[str, Any], said: str) -> None:
    response = APIClient().post(f"/api/characters/{character_id}/images.zip", form, format="multipart")
    assert (response.status_code, response.json()) == (400, {"detail": said})


def test_an_unknown_character_imports_nothing() -> None:
    response = send(UNKNOWN_ID, zipped(("a.jpg", shade(1))))
    assert (response.status_code, response.json()) == (404, {"detail": f"Character {UNKNOWN_ID} not found"})
