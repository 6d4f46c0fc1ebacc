from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from characters.models import TrainingImage
from tests.characters.making import UNKNOWN_ID, decoded, encoded, jpeg, new_character, picture, upload

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def images() -> str:
    return f"/api/characters/{new_character()['id']}/images"


def sent_to(images: str, name: str, content: bytes) -> str:
    """Upload a photo and return where it can be had."""
    (kept,) = upload(images.split("/")[3], (name, content))["uploaded"]
    return f"{images}/{quote(kept)}"


def test_an_image_is_served_as_what_it_is_and_can_do_no_harm(images: str) -> None:
    response = APIClient().get(sent_to(images, "a.html", encoded(picture(), "PNG")))
    content = b"".join(response.streaming_content)
    assert response.status_code == 200
    assert decoded(content).format == "PNG"
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response.headers["Content-Disposition"] == 'inline; filename="a.png"'
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["ETag"] == f'"{TrainingImage.objects.get().sha256}"'


@pytest.mark.parametrize("accept", ["image/*", "image/png", "text/html", "*/*"])
def test_an_image_is_served_whatever_the_client_says_it_accepts(images: str, accept: str) -> None:
    response = APIClient().get(sent_to(images, "a.jpg", jpeg()), headers={"accept": accept})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/jpeg")
    response.close()


def test_a_client_that_has_the_image_gets_no_second_copy(images: str) -> None:
    path = sent_to(images, "a.jpg", jpeg())
    first = APIClient().get(path)
    first.close()
    etag = first.headers["ETag"]
    again = APIClient().get(path, headers={"if-none-match": f'"other", W/{etag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert again.headers["Cache-Control"] == "private, no-cache"


def test_a_name_used_again_is_not_taken_for_the_image_before(images: str) -> None:
    path = sent_to(images, "a.jpg", jpeg())
    before = APIClient().get(path)
    before.close()
    APIClient().delete(path)
    sent_to(images, "a.jpg", jpeg(colour=(0, 0, 0)))
    after = APIClient().get(path, headers={"if-none-match": before.headers["ETag"]})
    assert after.status_code == 200
    after.close()


def test_a_name_of_any_script_is_found_in_either_spelling(images: str) -> None:
    sent_to(images, "café 写真.jpg", jpeg())
    for name in ("caf\u00e9 写真.jpg", "cafe\u0301 写真.jpg"):
        response = APIClient().get(f"{images}/{quote(name)}")
        assert response.status_code == 200
        response.close()


def test_head_tells_the_size_without_the_body(images: str) -> None:
    response = APIClient().head(sent_to(images, "a.jpg", jpeg()))
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/jpeg")
    assert int(response.headers["Content-Length"]) == TrainingImage.objects.get().bytes
    response.close()


def test_a_deleted_image_and_its_file_are_gone(images: str, root: Path) -> None:
    path = sent_to(images, "a.jpg", jpeg())
    other = sent_to(images, "b.jpg", jpeg(colour=(0, 0, 0)))
    file = root / TrainingImage.objects.get(name="a.jpg").key
    assert file.exists()
    response = APIClient().delete(path)
    assert (response.status_code, response.content) == (204, b"")
    assert not file.exists()
    assert APIClient().get(path).status_code == APIClient().delete(path).status_code == 404
    kept = APIClient().get(other)
    assert kept.status_code == 200
    kept.close()


def test_a_photo_can_come_back_after_its_deletion(images: str) -> None:
    path = sent_to(images, "a.jpg", jpeg())
    APIClient().delete(path)
    assert sent_to(images, "a.jpg", jpeg()) == path


def test_photos_that_differ_in_metadata_alone_do_not_share_a_file(images: str) -> None:
    path = sent_to(images, "a.jpg", jpeg())
    twin = sent_to(images, "b.jpg", encoded(picture(), comment=b"other bytes, same pixels"))
    APIClient().delete(path)
    response = APIClient().get(twin)
    assert response.status_code == 200
    response.close()


@pytest.mark.parametrize("name", ["x.jpg", "%00.jpg", "..%5C..%5Csecret_key", "%2e%2e"])
@pytest.mark.parametrize("method", ["get", "delete"])
def test_an_unknown_image_is_not_found(images: str, method: str, name: str) -> None:
    response = getattr(APIClient(), method)(f"{images}/{name}")
    assert response.status_code == 404
    assert response.json()["detail"].startswith("Image ")
    assert response.json()["detail"].endswith(" not found")


@pytest.mark.parametrize("name", ["..%2F..%2Fsecret_key", "%2Fetc%2Fpasswd"])
def test_no_path_leads_out_of_the_images(images: str, name: str) -> None:
    assert APIClient().get(f"{images}/{name}").status_code == 404


def test_an_image_of_an_unknown_character_names_the_character(images: str) -> None:
    response = APIClient().get(f"/api/characters/{UNKNOWN_ID}/images/a.jpg")
    assert (response.status_code, response.json()) == (404, {"detail": f"Character {UNKNOWN_ID} not found"})


def test_an_image_whose_file_is_lost_is_not_found(images: str, root: Path) -> None:
    path = sent_to(images, "a.jpg", jpeg())
    (root / TrainingImage.objects.get().key).unlink()
    response = APIClient().get(path)
    assert (response.status_code, response.json()) == (404, {"detail": "The file of a.jpg is missing"})
