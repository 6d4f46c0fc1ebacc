"""Several people, or one impatient one, at the same character at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from characters import images, lifecycle, loras
from characters.models import Character, TrainingImage
from tests.characters.making import jpeg, new_character

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 6


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def character_id() -> str:
    return str(new_character()["id"])


def all_at_once(act: Callable[[int], Any]) -> list[Any]:
    """Return what `act` gave each thread, or the exception it raised."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        start.wait(timeout=30)
        try:
            return act(number)
        except Exception as exc:
            return exc
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def sent(tmp_path: Path, number: int, content: bytes, name: str = "photo.jpg") -> images.SentPhoto:
    path = tmp_path / f"arriving-{number}"
    path.write_bytes(content)
    return images.SentPhoto(name, path)


def stored_files(root: Path) -> list[Path]:
    return [path for path in (root / "uploads").rglob("*") if path.is_file()]


def test_one_file_sent_many_times_at_once_is_kept_once(character_id: str, root: Path) -> None:
    names = all_at_once(lambda number: images.add_photo(character_id, sent(root, number, jpeg(), f"{number}.jpg")))
    image = TrainingImage.objects.get()
    assert names == [image.name] * THREADS
    assert stored_files(root) == [root / image.key]


def test_many_files_of_one_name_all_get_a_name_of_their_own(character_id: str, root: Path) -> None:
    names = all_at_once(
        lambda number: images.add_photo(character_id, sent(root, number, jpeg(colour=(40 * number, 0, 0))))
    )
    assert sorted(names) == sorted(["photo.jpg", *(f"photo-{number}.jpg" for number in range(2, THREADS + 1))])
    assert len(stored_files(root)) == THREADS


def test_an_upload_that_meets_a_deletion_leaves_neither_row_nor_file(character_id: str, root: Path) -> None:
    def act(number: int) -> Any:
        if number == 0:
            return lifecycle.delete_character(character_id)
        return images.add_photo(character_id, sent(root, number, jpeg(colour=(40 * number, 0, 0))))

    outcomes = all_at_once(act)
    assert outcomes[0] is None
    assert all(isinstance(outcome, str | Character.DoesNotExist) for outcome in outcomes[1:])
    assert not TrainingImage.objects.exists()
    assert stored_files(root) == []


def test_an_image_deleted_by_many_at_once_is_deleted_once(character_id: str, root: Path) -> None:
    images.add_photo(character_id, sent(root, 0, jpeg()))
    image_id = TrainingImage.objects.get().pk
    outcomes = all_at_once(lambda _: images.delete_image(image_id))
    assert outcomes.count(None) == 1
    assert all(isinstance(outcome, TrainingImage.DoesNotExist) for outcome in outcomes if outcome is not None)
    assert stored_files(root) == []


def test_versions_issued_at_once_are_all_different(character_id: str) -> None:
    versions = all_at_once(lambda _: loras.issue_version(character_id))
    assert sorted(versions) == list(range(1, THREADS + 1))
