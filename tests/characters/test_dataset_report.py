"""What the dataset report says of photos, and that it looks into each of them once."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from PIL import Image, ImageFilter

from characters import dataset_report, image_traits
from characters.models import Character, TrainingImage
from tests.characters.cockpit_rows import address, new_character, new_photo, page
from tests.characters.making import encoded

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def character() -> Character:
    return new_character()


def scene(seed: int, side: int = 256) -> Image.Image:
    """Return a picture with edges all over, another one for each seed."""
    cells = Image.new("L", (12, 12))
    cells.putdata([(x * x * 31 + seed * x * 67 + seed * 101) % 256 for x in range(144)])
    return cells.resize((side, side), Image.Resampling.NEAREST).convert("RGB")


def traits(image: Image.Image, quality: int = 90) -> image_traits.Traits:
    return image_traits.measure(BytesIO(encoded(image, quality=quality)))


def stored(character: Character, name: str, image: Image.Image, **fields: Any) -> TrainingImage:
    photo = new_photo(character, name, **fields)
    default_storage.save(photo.key, ContentFile(encoded(image)))
    return photo


def titles(character: Character, tone: str = "") -> list[str]:
    found = dataset_report.report(character).findings
    return [finding.title for finding in found if tone in ("", finding.tone)]


def named(character: Character, title: str) -> list[list[str]]:
    (found,) = (finding for finding in dataset_report.report(character).findings if title in finding.title)
    return [[photo.name for photo in group] for group in found.photos]


def test_another_size_and_quality_is_nearly_the_same_and_another_picture_is_not() -> None:
    one = traits(scene(1))
    assert image_traits.bits_apart(one.dhash, traits(scene(1, 200), quality=40).dhash) <= dataset_report.NEAR_BITS
    assert image_traits.bits_apart(one.dhash, traits(scene(2)).dhash) > 2 * dataset_report.NEAR_BITS


def test_a_picture_out_of_focus_is_told_from_a_sharp_one() -> None:
    blurred = scene(1).filter(ImageFilter.GaussianBlur(9))
    assert traits(blurred).sharpness < dataset_report.BLURRED_BELOW < traits(scene(1)).sharpness


def test_the_report_names_copies_blur_and_what_cannot_be_read(character: Character) -> None:
    for name, image in (("a.jpg", scene(1)), ("b.jpg", scene(2)), ("copy.jpg", scene(1, 180))):
        stored(character, name, image)
    stored(character, "soft.jpg", scene(3).filter(ImageFilter.GaussianBlur(9)))
    broken = new_photo(character, "broken.jpg")
    default_storage.save(broken.key, ContentFile(b"no picture"))
    new_photo(character, "gone.jpg")
    dataset_report.measure_missing(character.pk, seconds=600)
    assert named(character, "nearly the same") == [["a.jpg", "copy.jpg"]]
    assert named(character, "out of focus") == [["soft.jpg"]]
    assert named(character, "not readable") == [["broken.jpg", "gone.jpg"]]


def test_sizes_and_shapes_are_told_and_small_ones_named(character: Character) -> None:
    new_photo(character, "small.jpg", width=300, height=700)
    new_photo(character, "wide.jpg", width=1600, height=1000)
    assert named(character, "smaller than 512 pixels") == [["small.jpg"]]
    assert named(character, "times as long as wide") == [["small.jpg"]]
    assert "Sizes from 300 × 700 to 1600 × 1000 pixels" in titles(character)
    assert "Shapes: 1 upright, 1 lying" in titles(character)


@pytest.mark.parametrize(
    ("count", "tone", "said"),
    [(0, "bad", "No photos yet"), (3, "bad", "few"), (10, "good", "good"), (51, "hint", "many")],
)
def test_how_many_there_are_is_judged(character: Character, count: int, tone: str, said: str) -> None:
    for n in range(count):
        new_photo(character, f"{n}.jpg")
    assert any(said in title for title in titles(character, tone))


def test_captions_that_lack_or_lack_the_trigger_word_are_named(character: Character) -> None:
    assert not any("caption" in title for title in titles(character))
    for name, caption in (("a.jpg", None), ("b.jpg", "a smile"), ("c.jpg", "ada_person, smiling"), ("d.jpg", " ")):
        new_photo(character, name, caption=caption)
    assert named(character, "without a caption") == [["a.jpg", "d.jpg"]]
    assert named(character, "without “ada_person”") == [["b.jpg"]]


def test_each_photo_is_looked_into_once_and_a_large_set_piece_by_piece(
    admin_client: Client, character: Character, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        stored(character, f"{n}.jpg", scene(n))
    monkeypatch.setattr("characters.admin.character_acts.MEASURING_SECONDS", 0.0)
    said = [page(admin_client, "character_dataset", character.pk) for _ in range(3)]
    assert ["still being looked at" in each for each in said] == [True, True, False]
    default_storage.delete(character.images.order_by("pk")[0].key)
    assert "not readable" not in page(admin_client, "character_dataset", character.pk)


def test_the_report_is_for_those_who_may_look(client: Client, character: Character) -> None:
    assert client.get(address("character_dataset", character.pk)).status_code == 302
