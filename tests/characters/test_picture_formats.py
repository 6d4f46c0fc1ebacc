import io
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, PngImagePlugin
from rest_framework.test import APIClient

from characters import renditions
from characters.renditions import PictureUnreadable, Rendition, TooBusy, render
from tests.characters.making import decoded, encoded, jpeg, new_character, picture, upload

pytestmark = pytest.mark.django_db
SAID = "a red coat — ünïcode\nSteps: 4"


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


def sent(name: str, content: bytes) -> str:
    character_id = new_character()["id"]
    upload(character_id, (name, content))
    return f"/api/characters/{character_id}/images/{name}"


def get(path: str) -> tuple[Any, bytes]:
    response = APIClient().get(path)
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return response, content


def generated(**mode: Any) -> io.BytesIO:
    """Return a PNG that says how it was made."""
    texts, content = PngImagePlugin.PngInfo(), io.BytesIO()
    texts.add_itxt("parameters", SAID)
    texts.add_text("workflow", "a secret of the server's")
    picture((400, 300), **mode).save(content, "PNG", pnginfo=texts)
    content.seek(0)
    return content


@pytest.mark.parametrize(
    ("name", "kind", "extension"), [("webp", "WEBP", ".webp"), ("jpeg", "JPEG", ".jpg"), ("png", "PNG", ".png")]
)
@pytest.mark.parametrize("size", [None, 100])
def test_a_picture_comes_in_the_format_that_is_asked_for(
    name: str, kind: str, extension: str, size: int | None
) -> None:
    path = sent("a.webp", encoded(picture((400, 300)), "WEBP"))
    response, content = get(f"{path}?format={name}" + (f"&size={size}" if size else ""))
    assert (response.status_code, response.headers["Content-Type"]) == (200, f"image/{name}")
    assert (decoded(content).format, decoded(content).size) == (kind, (100, 75) if size else (400, 300))
    assert f'"a{f"-{size}" if size else ""}{extension}"' in response.headers["Content-Disposition"]


def test_the_format_that_it_has_is_the_stored_file_itself(root: Path) -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    assert get(path + "?format=jpeg")[1] == get(path)[1]
    assert not (root / "thumbnails").exists()


@pytest.mark.parametrize("name", ["gif", "", "WEBP", "jpg", "webp,png", "../png"])
def test_another_format_is_refused_with_what_there_is(name: str) -> None:
    response, _ = get(sent("a.jpg", jpeg()) + f"?format={name}")
    assert (response.status_code, response.json()) == (400, {"detail": "format: must be one of webp, jpeg, png."})


def test_each_format_has_an_etag_of_its_own() -> None:
    path = sent("a.jpg", jpeg((400, 300)))
    queries = ("", "?format=webp", "?format=png", "?size=64", "?size=64&format=png")
    assert len({get(path + query)[0].headers["ETag"] for query in queries}) == len(queries)


def test_what_shines_through_is_white_where_the_format_has_no_transparency() -> None:
    path = sent("a.png", encoded(picture(colour=(9, 9, 9, 0), mode="RGBA"), "PNG"))
    assert min(decoded(get(path + "?format=jpeg")[1]).getpixel((5, 5))) > 250


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_whole_copy_of_a_generated_picture_says_how_it_was_made(name: Any) -> None:
    copy = decoded(render(generated(), Rendition(name, None)))
    comment = copy.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be") == SAID


@pytest.mark.parametrize("name", ["jpeg", "webp", "png"])
@pytest.mark.parametrize("side", [None, 64])
def test_nothing_else_of_the_picture_s_texts_is_in_a_copy(name: Any, side: int | None) -> None:
    content = render(generated(), Rendition(name, side))
    assert b"secret" not in content
    if side:
        assert not decoded(content).getexif()
        assert "red coat".encode("utf-16-be") not in content


def test_a_comment_of_a_camera_s_is_in_no_copy() -> None:
    photo = io.BytesIO()
    picture((400, 300)).save(photo, "JPEG", comment="a secret of the camera's")
    assert b"secret" not in render(photo, Rendition("jpeg", 64))


@pytest.mark.parametrize("name", ["webp", "png"])
def test_a_whole_copy_in_a_format_for_it_keeps_transparency(name: Any) -> None:
    copy = decoded(render(generated(colour=(9, 9, 9, 0), mode="RGBA"), Rendition(name, None)))
    assert copy.convert("RGBA").getpixel((5, 5))[3] == 0


def test_a_png_copy_has_the_same_pixels() -> None:
    whole = Image.open(generated())
    assert decoded(render(generated(), Rendition("png", None))).tobytes() == whole.tobytes()


def test_what_is_no_picture_is_told_apart() -> None:
    with pytest.raises(PictureUnreadable):
        render(io.BytesIO(b"no picture"), Rendition("png", None))


@pytest.fixture
def _all_large_ones_taken() -> Any:
    while renditions._large_admitted.acquire(blocking=False):
        pass
    yield
    for _ in range(3):
        renditions._large_admitted.release()


@pytest.mark.usefixtures("_all_large_ones_taken")
def test_one_large_conversion_too_many_is_sent_away_and_thumbnails_still_come() -> None:
    with pytest.raises(TooBusy):
        render(generated(), Rendition("webp", None))
    assert decoded(render(generated(), Rendition("webp", 320))).size == (320, 240)
    path = sent("a.jpg", jpeg((400, 300)))
    response, _ = get(path + "?format=webp")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "try again" in response.json()["detail"]


def test_a_conversion_gives_its_turn_back_even_when_it_fails() -> None:
    for _ in range(5):
        with pytest.raises(PictureUnreadable):
            render(io.BytesIO(b"no picture"), Rendition("png", None))
    assert render(generated(), Rendition("png", None))
