"""Rows as the pages of characters and LoRAs show them, and people with and without permissions."""

from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from characters.models import Character, Lora, TrainingImage

SHA = "0" * 64


def new_character(character_id: str = "char-1", **fields: Any) -> Character:
    return Character.objects.create(
        **{"id": character_id, "name": "Ada Lovelace", "trigger_word": "ada_person"} | fields
    )


def new_photo(character: Character, name: str = "a.jpg", **fields: Any) -> TrainingImage:
    made: dict[str, Any] = {"content_type": "image/jpeg", "width": 1024, "height": 1024, "bytes": 9, "sha256": SHA}
    made |= {"key": f"uploads/{character.pk}/{name}", "sha256_as_sent": f"{character.pk}/{name}"[-64:]}
    return TrainingImage.objects.create(**made | {"character": character, "name": name} | fields)


def new_lora(character: Character | None, version: int | None = None, **fields: Any) -> Lora:
    key = f"loras/{character.pk if character else 'uploaded'}/v{version}.safetensors"
    made = {"name": f"Ada v{version}", "key": key, "size_bytes": 1, "sha256": SHA, "base_model": "flux-dev"}
    return Lora.objects.create(**made | {"character": character, "version": version} | fields)


def person(group: str) -> Client:
    """Return a client of somebody who is in `group`."""
    user = User.objects.create_user(group, password="speak friend", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client


def address(page: str, *args: Any) -> str:
    return reverse(f"admin:characters_{page}", args=args)


def page(client: Client, name: str, *args: Any) -> str:
    response = client.get(address(name, *args))
    assert response.status_code == 200, response
    return str(response.content.decode())
