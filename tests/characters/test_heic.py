"""Photos as iPhones make them."""

from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from characters.photos import PhotoRefused, accept
from tests.characters.making import RED, decoded, encoded, jpeg, new_character, picture, upload


def heic(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(image or picture(), "HEIF", **options)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(PhotoRefused) as refused:
        accept(path)
    return str(refused.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sent"


def test_a_heic_is_kept_as_a_jpeg_without_its_metadata(path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SecretPhone"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    path.write_bytes(heic(exif=exif))
    photo = accept(path)
    kept = decoded(photo.content)
    assert (photo.content_type, photo.extension, photo.width, photo.height) == ("image/jpeg", ".jpg", 96, 80)
    assert (kept.format, kept.mode, dict(kept.getexif())) == ("JPEG", "RGB", {})
    assert all(abs(found - wanted) < 12 for found, wanted in zip(kept.getpixel((50, 50)), RED, strict=True))
    assert b"SecretPhone" not in photo.content


def test_a_heic_taken_sideways_is_turned_upright_once(path: Path) -> None:
    image = picture((200, 120), (255, 255, 255))
    image.paste(RED, (0, 0, 200, 60))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    # Written this way, the turn is also a property of the picture itself, as phones write it.
    image.info["exif"] = exif.tobytes()
    content = heic(image)
    assert b"irot" in content
    path.write_bytes(content)
    photo = accept(path)
    assert (photo.width, photo.height) == (120, 200)
    right, left = decoded(photo.content).getpixel((115, 100)), decoded(photo.content).getpixel((5, 100))
    assert right[1] < 60 < 200 < left[1]


def test_a_heic_with_further_pictures_inside_is_the_first_of_them(path: Path) -> None:
    path.write_bytes(heic(save_all=True, append_images=[picture((200, 200), (0, 0, 0))]))
    assert (accept(path).width, accept(path).height) == (96, 80)


def test_a_transparent_heic_keeps_its_transparency(path: Path) -> None:
    path.write_bytes(heic(picture(colour=(9, 9, 9, 0), mode="RGBA")))
    photo = accept(path)
    assert photo.content_type == "image/png"
    assert decoded(photo.content).getpixel((5, 5))[3] == 0


def test_a_film_is_refused(path: Path) -> None:
    content = bytearray(heic())
    content[8:12] = b"hevc"
    assert refusal(path, bytes(content)) == "Animated images are not supported"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_heic_is_refused(path: Path, share: float) -> None:
    noise = Image.effect_noise((320, 240), 60).convert("RGB")
    content = heic(noise)
    assert refusal(path, content[: int(len(content) * share)]) == "Image is corrupt"


def test_a_heic_that_is_too_small_or_too_large_is_refused(path: Path) -> None:
    assert refusal(path, heic(picture((60, 60)))) == "Image is too small"
    assert refusal(path, heic(picture((8256, 64)))) == "Image is too large"


def test_an_avif_is_no_photo_here(path: Path) -> None:
    assert refusal(path, encoded(picture(), "AVIF")) == "Invalid image type"


@pytest.mark.django_db
def test_a_heic_is_uploaded_under_the_name_of_a_jpeg(settings: Any, tmp_path: Path) -> None:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    answer = upload(new_character()["id"], ("IMG_0001.HEIC", heic()), ("other.jpg", jpeg(colour=(0, 0, 0))))
    assert answer == {"uploaded": ["IMG_0001.jpg", "other.jpg"], "rejected": [], "total_images": 2}
