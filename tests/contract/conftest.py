import io
from functools import cache

import pytest
from django.test import Client
from PIL import Image

from characters.models import Character


@cache
def jpeg(side: int = 512, *, shade: int = 90) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 120, 150)).save(content, "JPEG")
    return content.getvalue()


@pytest.fixture
def api() -> Client:
    """A client that sends JSON as the frontend does, and gets a 500 as an answer instead of an exception."""
    return Client(raise_request_exception=False, headers={"Accept": "application/json"})


@pytest.fixture
def character(db: None) -> Character:
    return Character.objects.create(name="Ann", trigger_word="ann_person")


@pytest.fixture
def trainable(api: Client, character: Character, settings) -> Character:
    """A character with one photo, and no rate limits in the way."""
    settings.RATE_LIMITS = "off"
    photo = io.BytesIO(jpeg(256))
    photo.name = "ann.jpg"
    answer = api.post(f"/api/characters/{character.pk}/images", {"files": photo})
    assert answer.json()["uploaded"] == ["ann.jpg"]
    return character
