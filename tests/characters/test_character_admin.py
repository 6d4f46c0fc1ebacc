import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from characters.models import Character, Lora, TrainingImage
from tests.characters.making import jpeg, new_character, upload

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def character_id() -> str:
    made = str(new_character(name="Ada Lovelace")["id"])
    upload(made, ("face.jpg", jpeg()))
    Lora.objects.create(character_id=made, version=3, name="v3", key="loras/v3", size_bytes=1, sha256="0" * 64)
    return made


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("model", ["character", "trainingimage", "lora"])
def test_every_list_can_be_opened_and_searched(admin_client: Client, character_id: str, model: str) -> None:
    response = admin_client.get(reverse(f"admin:characters_{model}_changelist"), {"q": "Ada"})
    assert response.status_code == 200
    assert response.context["cl"].result_count == 1


def test_the_list_of_characters_tells_images_and_current_version(admin_client: Client, character_id: str) -> None:
    page = admin_client.get(reverse("admin:characters_character_changelist")).content.decode()
    assert re.search(r'class="field-image_count[^>]*>\s*1\s*<', page)
    assert re.search(r'class="field-current_version[^>]*>\s*v3\s*<', page)


def test_a_character_shows_its_images(admin_client: Client, character_id: str) -> None:
    page = admin_client.get(reverse("admin:characters_character_change", args=[character_id])).content.decode()
    assert f'src="/api/characters/{character_id}/images/face.jpg?size=384"' in page


def test_what_a_machine_wrote_cannot_be_edited(admin_client: Client, character_id: str) -> None:
    image = TrainingImage.objects.get()
    path = reverse("admin:characters_trainingimage_change", args=[image.pk])
    admin_client.post(path, {"name": "other.jpg", "key": "elsewhere", "caption": "a face"})
    changed = TrainingImage.objects.get()
    assert (changed.name, changed.key, changed.caption) == (image.name, image.key, "a face")
    lora_path = reverse("admin:characters_lora_change", args=[Lora.objects.get().pk])
    assert admin_client.post(lora_path, {"name": "other"}).status_code == 403
    for model in ("trainingimage", "lora"):
        assert admin_client.get(reverse(f"admin:characters_{model}_add")).status_code == 403


def test_the_rules_of_the_api_hold_in_the_admin_too(admin_client: Client, character_id: str) -> None:
    path = reverse("admin:characters_character_change", args=[character_id])
    refused = admin_client.post(path, {"name": "Ada", "trigger_word": "[ada]"})
    assert refused.status_code == 200
    assert "Use only letters" in refused.content.decode()
    before = Character.objects.get().updated_at
    assert admin_client.post(path, {"name": "Ada", "trigger_word": "ada"}).status_code == 302
    assert Character.objects.get().updated_at > before


def test_deleting_a_character_in_the_admin_removes_its_files(
    admin_client: Client, character_id: str, root: Path
) -> None:
    path = reverse("admin:characters_character_delete", args=[character_id])
    assert admin_client.post(path, {"post": "yes"}).status_code == 302
    assert not Character.objects.exists()
    assert files_below(root) == []


@pytest.mark.parametrize("model", [Character, TrainingImage, Lora])
def test_deleting_several_in_the_admin_removes_their_files(
    admin_client: Client, character_id: str, root: Path, model: type[Any]
) -> None:
    (root / "loras").mkdir()
    (root / "loras" / "v3").write_bytes(b"weights")
    row = model.objects.get()
    key = getattr(row, "key", "")
    path = reverse(f"admin:characters_{model._meta.model_name}_changelist")
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    assert admin_client.post(path, chosen).status_code == 302
    assert not model.objects.exists()
    assert (root / key) not in files_below(root)
