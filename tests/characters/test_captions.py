from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from characters.models import TrainingImage
from tests.characters.making import UNKNOWN_ID, encoded, jpeg, new_character, picture, upload

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def images() -> str:
    return f"/api/characters/{new_character()['id']}/images"


def sent_to(images: str, name: str, content: bytes) -> str:
    (kept,) = upload(images.split("/")[3], (name, content))["uploaded"]
    return f"{images}/{quote(kept)}"


@pytest.fixture
def caption(images: str) -> str:
    """Where the caption of an image is."""
    return sent_to(images, "a.jpg", jpeg()) + "/caption"


def test_an_image_has_no_caption_at_first(caption: str) -> None:
    response = APIClient().get(caption)
    assert (response.status_code, response.json()) == (200, {"filename": "a.jpg", "caption": None})


@pytest.mark.parametrize(
    "text", ["a woman in a red coat", "first line\nsecond line", "女性, 赤いコート", "x" * 2000, ""]
)
def test_a_caption_stays_as_it_was_written(caption: str, text: str) -> None:
    written = APIClient().put(caption, {"caption": text})
    assert (written.status_code, written.json()) == (200, {"filename": "a.jpg", "caption": text})
    assert APIClient().get(caption).json() == written.json()


def test_a_caption_can_be_taken_back(caption: str) -> None:
    APIClient().put(caption, {"caption": "wrong"})
    assert APIClient().put(caption, {"caption": None}).json()["caption"] is None
    assert TrainingImage.objects.get().caption is None


def test_the_training_reads_the_caption_that_was_written(caption: str) -> None:
    APIClient().put(caption, {"caption": "a woman"})
    assert TrainingImage.objects.get().caption == "a woman"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "caption: This field is required."),
        ({"caption": 5}, "caption: Not a valid string."),
        ({"caption": True}, "caption: Not a valid string."),
        ({"caption": ["a"]}, "caption: Not a valid string."),
        ({"caption": {"a": 1}}, "caption: Not a valid string."),
        ({"caption": "x" * 2001}, "caption: Ensure this field has no more than 2000 characters."),
        ({"caption": "bell\x07"}, "caption: Control characters are not allowed."),
        ({"caption": "a", "tags": "b"}, "tags: There is no such field."),
        (["caption"], "Invalid data. Expected a dictionary, but got list."),
    ],
)
def test_a_wrong_caption_is_refused_and_the_old_one_stays(caption: str, body: Any, said: str) -> None:
    APIClient().put(caption, {"caption": "before"})
    response = APIClient().put(caption, body)
    assert (response.status_code, response.json()) == (400, {"detail": said})
    assert TrainingImage.objects.get().caption == "before"


@pytest.mark.parametrize("method", ["post", "patch", "delete"])
def test_a_caption_can_only_be_read_and_written(caption: str, method: str) -> None:
    assert getattr(APIClient(), method)(caption, {"caption": "a"}).status_code == 405


@pytest.mark.parametrize("method", ["get", "put"])
@pytest.mark.parametrize("name", ["x.jpg", "%00.jpg"])
def test_an_unknown_image_has_no_caption(images: str, name: str, method: str) -> None:
    response = getattr(APIClient(), method)(f"{images}/{name}/caption", {"caption": "a"} if method == "put" else None)
    assert response.status_code == 404
    assert response.json()["detail"].endswith(" not found")


def test_an_unknown_character_has_no_captions() -> None:
    response = APIClient().get(f"/api/characters/{UNKNOWN_ID}/images/a.jpg/caption")
    assert (response.status_code, response.json()) == (404, {"detail": f"Character {UNKNOWN_ID} not found"})


def test_details_tell_of_each_image_what_is_known(images: str) -> None:
    sent_to(images, "b.png", encoded(picture((100, 70)), "PNG"))
    path = sent_to(images, "a.jpg", jpeg((64, 80)))
    APIClient().put(f"{path}/caption", {"caption": "a red wall"})
    answer = APIClient().get(f"{images}?details=true").json()
    assert answer["count"] == 2
    assert [sorted(image) for image in answer["images"]] == [
        ["added", "bytes", "caption", "content_type", "filename", "height", "width"]
    ] * 2
    first, second = answer["images"]
    assert (first["filename"], first["width"], first["height"], first["caption"]) == ("b.png", 100, 70, None)
    assert (second["filename"], second["content_type"], second["caption"]) == ("a.jpg", "image/jpeg", "a red wall")
    stored = TrainingImage.objects.get(name="a.jpg")
    assert second["bytes"] == stored.bytes
    assert second["added"] == stored.created_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stored.created_at:%f}"[:3] + "Z"


@pytest.mark.parametrize("query", ["", "?details=false"])
def test_without_details_only_names_are_listed(images: str, query: str) -> None:
    sent_to(images, "a.jpg", jpeg())
    assert APIClient().get(images + query).json() == {"images": ["a.jpg"], "count": 1}


@pytest.mark.parametrize("value", ["yes", "1", "True", "", "null"])
def test_any_other_wish_for_details_is_refused(images: str, value: str) -> None:
    response = APIClient().get(f"{images}?details={value}")
    assert (response.status_code, response.json()) == (400, {"detail": "details: must be true or false."})
