import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from characters import images, photos
from characters.models import TrainingImage
from tests.characters.making import jpeg, new_character, upload

pytestmark = pytest.mark.django_db

FULL = "The character has its 2 images already"


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def two_images_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_IMAGES", 2)


def photo(number: int) -> tuple[str, bytes]:
    return f"{number}.jpg", jpeg(colour=(40 * number, 0, 0))


def test_the_limits_are_those_that_are_promised() -> None:
    assert (images.MAX_IMAGES, images.MAX_STORED_BYTES) == (500, 2 * 1024**3)


@pytest.mark.usefixtures("two_images_at_most")
def test_a_photo_beyond_the_last_place_is_refused_with_the_reason() -> None:
    character_id = new_character()["id"]
    answer = upload(character_id, photo(1), photo(2), photo(3))
    assert answer == {
        "uploaded": ["1.jpg", "2.jpg"],
        "rejected": [{"filename": "3.jpg", "reason": FULL}],
        "total_images": 2,
    }
    assert upload(new_character()["id"], photo(3))["uploaded"] == ["3.jpg"]


@pytest.mark.usefixtures("two_images_at_most")
def test_a_photo_that_the_character_has_is_still_found_when_it_is_full() -> None:
    character_id = new_character()["id"]
    upload(character_id, photo(1), photo(2))
    assert upload(character_id, photo(2))["uploaded"] == ["2.jpg"]


def test_a_photo_that_takes_too_much_room_is_refused_and_leaves_no_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    character_id = new_character()["id"]
    upload(character_id, photo(1))
    monkeypatch.setattr(images, "MAX_STORED_BYTES", TrainingImage.objects.get().bytes + 10)
    answer = upload(character_id, photo(2))
    assert answer["rejected"] == [{"filename": "2.jpg", "reason": "The character's images would take more than 2 GiB"}]
    assert len([path for path in (root / "uploads").rglob("*") if path.is_file()]) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("two_images_at_most")
def test_uploads_at_once_do_not_pass_the_limit_together(root: Path) -> None:
    character_id = new_character()["id"]
    start = threading.Barrier(5)

    def act(number: int) -> str:
        path = root / f"arriving-{number}"
        path.write_bytes(photo(number)[1])
        start.wait(timeout=30)
        try:
            return images.add_photo(character_id, images.SentPhoto(path.name, path))
        except photos.PhotoRefused as refused:
            return str(refused)
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        outcomes = list(pool.map(act, range(1, 6)))
    assert outcomes.count(FULL) == 3
    assert TrainingImage.objects.count() == len([path for path in (root / "uploads").rglob("*") if path.is_file()]) == 2
