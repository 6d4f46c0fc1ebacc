"""The demo's characters and their photos, uploaded as people upload them."""

import random
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image, ImageFilter

from characters.images import SentPhoto, add_photo
from characters.models import Character, TrainingImage
from isengard.demo.people import Person
from isengard.demo.portraits import draw, scene_of
from isengard.demo.texts import CAPTIONS

PHOTO_SIZE = (576, 720)
SMALL_SIZE = (240, 300)
PHOTO_QUALITY = 90
ID_PREFIX = "char-demo"


def make_character(number: int, person: Person, *, created_at: datetime, folder: Path) -> Character:
    character = Character.objects.create(
        id=f"{ID_PREFIX}{number + 1:06d}",
        name=person.name,
        trigger_word=person.trigger_word,
        description=person.description,
        created_at=created_at,
        updated_at=created_at,
    )
    for n in range(person.photos):
        path = folder / f"{person.trigger_word}-{n + 1:02d}.jpg"
        _photo(person, n).save(path, quality=PHOTO_QUALITY)
        add_photo(character.pk, SentPhoto(path.name, path, _caption(person, n)))
    arrived = created_at + timedelta(minutes=4)
    TrainingImage.objects.filter(character=character).update(created_at=arrived)
    return character


def _photo(person: Person, n: int) -> Image.Image:
    """Draw the nth photo. Whoever is `careless` has one twice, one out of focus and one too small."""
    if person.is_careless and n in (1, 2, 3):
        first = draw(person.face, scene_of(random.Random(f"{person.name} 0")), PHOTO_SIZE)
        blurred = first.transpose(Image.Transpose.FLIP_LEFT_RIGHT).filter(ImageFilter.GaussianBlur(9))
        other = draw(person.face, scene_of(random.Random(f"{person.name} 3")), SMALL_SIZE)
        return (first.crop((3, 3, *PHOTO_SIZE)).resize(PHOTO_SIZE), blurred, other)[n - 1]
    return draw(person.face, scene_of(random.Random(f"{person.name} {n}")), PHOTO_SIZE)


def _caption(person: Person, n: int) -> str | None:
    if person.is_careless and n % 2:
        return None
    return CAPTIONS[n % len(CAPTIONS)].format(word=person.trigger_word)
