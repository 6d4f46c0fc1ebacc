"""What the views of characters and of their images share."""

from unicodedata import normalize

from rest_framework.exceptions import NotFound

from characters.models import Character, TrainingImage


def missing_character(character_id: str) -> NotFound:
    return NotFound(f"Character {character_id} not found")


def require_character(character_id: str) -> None:
    # PostgreSQL refuses to look for a NUL at all.
    if "\0" in character_id or not Character.objects.filter(pk=character_id).exists():
        raise missing_character(character_id)


def missing_image(filename: str) -> NotFound:
    return NotFound(f"Image {filename} not found")


def find_image(character_id: str, filename: str) -> TrainingImage:
    require_character(character_id)
    # macOS spells accents decomposed; names are kept composed.
    name = normalize("NFC", filename)
    image = None
    if "\0" not in name:
        image = TrainingImage.objects.filter(character_id=character_id, name=name).first()
    if image is None:
        raise missing_image(filename)
    return image
