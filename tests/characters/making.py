"""Characters, photos and uploads as the tests need them."""

from io import BytesIO
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponseBase
from PIL import Image
from rest_framework.test import APIClient

RED = (200, 30, 30)
UNKNOWN_ID = "char-000000000000"


def picture(size: tuple[int, int] = (96, 80), colour: Any = RED, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    content = BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def jpeg(size: tuple[int, int] = (96, 80), colour: Any = RED) -> bytes:
    return encoded(picture(size, colour))


def decoded(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def new_character(**fields: Any) -> dict[str, Any]:
    response = APIClient().post("/api/characters", {"name": "Ada", "trigger_word": "ada_person", **fields})
    assert response.status_code == 201, response.content
    return dict(response.json())


def send(character_id: str, *files: tuple[str, bytes]) -> HttpResponseBase:
    sent = [SimpleUploadedFile(name, content, "application/octet-stream") for name, content in files]
    return APIClient().post(f"/api/characters/{character_id}/images", {"files": sent}, format="multipart")


def upload(character_id: str, *files: tuple[str, bytes]) -> dict[str, Any]:
    response = send(character_id, *files)
    assert response.status_code == 201, response.content
    return dict(response.json())
