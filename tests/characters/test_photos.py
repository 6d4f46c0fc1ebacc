import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, ImageCms

from characters.photos import AcceptedPhoto, PhotoRefused, accept
from tests.characters.making import RED, decoded, encoded, jpeg, picture


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sent"


def accepted(path: Path, content: bytes) -> AcceptedPhoto:
    path.write_bytes(content)
    return accept(path)


def refusal(path: Path, content: bytes) -> str:
    with pytest.raises(PhotoRefused) as refused:
        accepted(path, content)
    return str(refused.value)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def is_near(pixel: Any, colour: tuple[int, ...]) -> bool:
    return all(abs(found - wanted) <= 6 for found, wanted in zip(pixel, colour, strict=True))


def two_colours() -> Image.Image:
    """Return a picture whose upper half is red and lower half white."""
    image = picture((120, 80), (255, 255, 255))
    image.paste(RED, (0, 0, 120, 40))
    return image


def exif_from_a_phone(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "SecretPhone"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif


@pytest.mark.parametrize(
    ("form", "content_type", "extension"),
    [("JPEG", "image/jpeg", ".jpg"), ("PNG", "image/png", ".png"), ("WEBP", "image/webp", ".webp")],
)
def test_a_photo_keeps_its_format(path: Path, form: str, content_type: str, extension: str) -> None:
    photo = accepted(path, encoded(picture(), form))
    assert (photo.content_type, photo.extension, photo.width, photo.height) == (content_type, extension, 96, 80)
    assert decoded(photo.content).format == form
    assert is_near(decoded(photo.content).getpixel((50, 50)), RED)


def test_a_photo_of_many_megapixels_is_taken(path: Path) -> None:
    photo = accepted(path, jpeg((4000, 3000)))
    assert decoded(photo.content).size == (4000, 3000)


def test_a_photo_taken_sideways_is_turned_upright(path: Path) -> None:
    photo = accepted(path, encoded(two_colours(), exif=exif_from_a_phone(6)))
    assert (photo.width, photo.height) == (80, 120)
    assert is_near(decoded(photo.content).getpixel((75, 60)), RED)
    assert is_near(decoded(photo.content).getpixel((5, 60)), (255, 255, 255))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_nothing_but_the_pixels_is_kept(path: Path, form: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"comment": b"SecretComment"} if form == "JPEG" else {}
    sent = encoded(picture(), form, exif=exif_from_a_phone(1), icc_profile=profile, dpi=(300, 300), **options)
    assert b"SecretPhone" in sent
    kept = decoded(accepted(path, sent).content)
    assert not kept.getexif()
    assert not {"icc_profile", "comment", "exif", "xmp", "dpi"} & set(kept.info)
    assert b"Secret" not in accepted(path, sent).content


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_costs_a_photo_nothing(path: Path) -> None:
    photo = accepted(path, encoded(picture(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert decoded(photo.content).size == (96, 80)


def profile_with_red_and_green_exchanged() -> bytes:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


@pytest.mark.parametrize(("form", "mode"), [("JPEG", "RGB"), ("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB")])
def test_the_colours_of_another_profile_become_srgb(path: Path, form: str, mode: str) -> None:
    red = picture(colour=(250, 0, 0) if mode == "RGB" else (250, 0, 0, 90), mode=mode)
    photo = accepted(path, encoded(red, form, icc_profile=profile_with_red_and_green_exchanged()))
    pixel = decoded(photo.content).getpixel((5, 5))
    assert is_near(pixel, (0, 250, 0) if mode == "RGB" else (0, 250, 0, 90))


UNFIT = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize("junk", [b"", b"no profile at all", bytes(200), UNFIT])
def test_an_unfit_profile_costs_a_photo_nothing(path: Path, junk: bytes) -> None:
    photo = accepted(path, encoded(picture(), "PNG", icc_profile=junk))
    assert decoded(photo.content).getpixel((5, 5)) == RED


@pytest.mark.parametrize(
    ("image", "form", "mode", "pixel"),
    [
        (picture(colour=(0, 255, 255, 0), mode="CMYK"), "JPEG", "RGB", (255, 0, 0)),
        (picture(colour=120, mode="L"), "JPEG", "RGB", (120, 120, 120)),
        (picture(colour=128 * 256, mode="I;16"), "PNG", "RGB", (128, 128, 128)),
        (picture(colour=(10, 20, 30, 40), mode="RGBA"), "PNG", "RGBA", (10, 20, 30, 40)),
        (picture(colour=(10, 20, 30, 40), mode="RGBA").quantize(4), "PNG", "RGBA", (10, 20, 30, 40)),
        (picture(colour=(90, 128), mode="LA"), "PNG", "RGBA", (90, 90, 90, 128)),
        (picture(colour=1, mode="1"), "PNG", "RGB", (255, 255, 255)),
    ],
)
def test_every_kind_of_pixel_becomes_8_bit_rgb(
    path: Path, image: Image.Image, form: str, mode: str, pixel: tuple[int, ...]
) -> None:
    kept = decoded(accepted(path, encoded(image, form)).content)
    assert kept.mode == mode
    assert is_near(kept.getpixel((50, 50)), pixel)


def test_a_phone_picture_with_a_second_picture_inside_is_a_photo(path: Path) -> None:
    sent = encoded(picture(), "MPO", save_all=True, append_images=[picture(colour=(0, 0, 0))])
    photo = accepted(path, sent)
    assert photo.content_type == "image/jpeg"
    assert decoded(photo.content).format == "JPEG"
    assert is_near(decoded(photo.content).getpixel((5, 5)), RED)


def test_what_is_hidden_behind_the_picture_is_gone(path: Path) -> None:
    polyglot = encoded(picture(), "PNG") + b"<script>alert(1)</script>"
    assert b"<script>" not in accepted(path, polyglot).content


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_photo_is_corrupt(path: Path, form: str, share: float) -> None:
    noise = Image.effect_noise((200, 200), 90).convert("RGB")
    whole = encoded(noise, form)
    assert refusal(path, whole[: int(len(whole) * share)]) == "Image is corrupt"


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused_whatever_their_name(path: Path, form: str) -> None:
    assert refusal(path.with_suffix(".jpg"), encoded(picture(), form)) == "Invalid image type"


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(5000)])
def test_what_is_no_picture_is_refused(path: Path, content: bytes) -> None:
    assert refusal(path, content) == "Invalid image type"


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_an_animation_is_refused(path: Path, form: str) -> None:
    sent = encoded(picture(), form, save_all=True, append_images=[picture(colour=(0, 0, 0))])
    assert refusal(path, sent) == "Animated images are not supported"


@pytest.mark.parametrize("size", [(64, 64), (8192, 64), (64, 8192)])
def test_the_allowed_sizes_include_their_ends(path: Path, size: tuple[int, int]) -> None:
    photo = accepted(path, encoded(picture(size), "PNG"))
    assert (photo.width, photo.height) == size


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((63, 64), "Image is too small"),
        ((64, 63), "Image is too small"),
        ((8193, 64), "Image is too large"),
        ((64, 8193), "Image is too large"),
    ],
)
def test_sizes_beyond_the_ends_are_refused(path: Path, size: tuple[int, int], reason: str) -> None:
    assert refusal(path, encoded(picture(size), "PNG")) == reason


@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])
def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded(path: Path, side: int) -> None:
    assert refusal(path, png_that_claims(side, side)) == "Image is too large"


def test_a_header_that_promises_more_than_there_is_makes_a_picture_corrupt(path: Path) -> None:
    assert refusal(path, png_that_claims(2000, 2000)) == "Image is corrupt"


def test_a_file_of_too_many_bytes_is_refused(path: Path) -> None:
    assert refusal(path, jpeg() + bytes(20_000_000)) == "Image is too large"
