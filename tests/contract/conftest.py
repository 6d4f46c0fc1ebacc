import io
import socket
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from django.test import Client
from PIL import Image

from characters.models import Character
from generation.engines.comfyui import capabilities
from tests.contract.patience import PATIENCE_SECONDS, hold_the_minute, wait_for_redis


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


@pytest.fixture
def patient_redis(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    wait_for_redis(monkeypatch, settings)


@pytest.fixture
def one_minute(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    hold_the_minute(monkeypatch, settings)


@pytest.fixture
def nobodys_url() -> Iterator[str]:
    """An address where nothing listens. Its port is held, so that no other process is given it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def patient_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ComfyUI server that stands still with the whole machine is not taken for one that is away."""
    monkeypatch.setattr(capabilities, "READY_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(capabilities, "PROBE_READ_SECONDS", PATIENCE_SECONDS)
