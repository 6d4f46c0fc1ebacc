import pytest
from hypothesis import given
from hypothesis import strategies as st

from characters.photo_names import free_name, public_name
from tests.characters.invented import steady


@pytest.mark.parametrize(
    ("sent_as", "extension", "name"),
    [
        ("photo.jpg", ".jpg", "photo.jpg"),
        ("Photo 1 (final).JPG", ".jpg", "Photo 1 (final).JPG"),
        ("photo.jpeg", ".jpg", "photo.jpeg"),
        ("photo.png", ".jpg", "photo.jpg"),
        ("page.html", ".png", "page.png"),
        ("photo", ".webp", "photo.webp"),
        ("IMG.20240101", ".jpg", "IMG.20240101.jpg"),
        ("../../etc/passwd", ".jpg", "passwd.jpg"),
        ("C:\\photos\\me.jpg", ".jpg", "me.jpg"),
        (".htaccess", ".jpg", "htaccess.jpg"),
        ("..", ".jpg", "photo.jpg"),
        ("-rf.jpg", ".jpg", "rf.jpg"),
        (".\u00a0me\u3000.jpg", ".jpg", "me.jpg"),
        ("", ".png", "photo.png"),
        ("\x00\x1b[31m.jpg", ".jpg", "[31m.jpg"),
        ("annexe\u202egpj.exe", ".png", "annexegpj.png"),
        ("a?b#c%d.jpg", ".jpg", "a_b_c_d.jpg"),
        ("cafe\u0301.jpg", ".jpg", "caf\u00e9.jpg"),
        ("写真 一.jpg", ".jpg", "写真 一.jpg"),
    ],
)
def test_a_name_is_made_safe_and_stays_recognisable(sent_as: str, extension: str, name: str) -> None:
    assert public_name(sent_as, extension) == name


@steady
@given(st.text(max_size=300), st.sampled_from([".jpg", ".png", ".webp"]))
def test_any_name_becomes_a_safe_one(sent_as: str, extension: str) -> None:
    name = public_name(sent_as, extension)
    assert len(extension) < len(name) <= 200
    assert name.lower().endswith((extension, ".jpeg"))
    assert name[0] not in ".- "
    assert not set(name) & set('/\\<>:"|?*#%\0\n\r\t\u202e')
    assert public_name(name, extension) == name


def test_a_name_that_is_taken_gets_the_first_free_number() -> None:
    assert free_name("photo.jpg", set()) == "photo.jpg"
    assert free_name("photo.jpg", {"photo.jpg"}) == "photo-2.jpg"
    assert free_name("photo.jpg", {"photo.jpg", "photo-2.jpg", "photo-4.jpg"}) == "photo-3.jpg"


def test_a_number_fits_into_the_longest_name() -> None:
    longest = public_name("x" * 300, ".jpg")
    numbered = free_name(longest, {longest})
    assert len(longest) == len(numbered) == 200
    assert numbered.endswith("x-2.jpg")
