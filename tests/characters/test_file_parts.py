"""Parts of stored files over HTTP, as download tools and browsers ask for them."""

from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.characters.making import encoded, new_character, picture, upload

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture
def image() -> str:
    """Where an image can be had."""
    character_id = new_character()["id"]
    upload(character_id, ("a.png", encoded(picture(), "PNG")))
    return f"/api/characters/{character_id}/images/a.png"


def get(path: str, **headers: str) -> tuple[Any, bytes]:
    response = APIClient().get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return response, content


def test_the_parts_of_a_file_make_the_file(image: str) -> None:
    whole, content = get(image)
    first, head = get(image, range="bytes=0-99")
    second, tail = get(image, range="bytes=100-")
    assert (whole.status_code, first.status_code, second.status_code) == (200, 206, 206)
    assert head + tail == content
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert first.headers["Content-Range"] == f"bytes 0-99/{len(content)}"
    assert (first.headers["Content-Length"], second.headers["Content-Length"]) == ("100", str(len(content) - 100))
    assert first.headers["ETag"] == whole.headers["ETag"]


def test_a_part_is_as_harmless_as_the_whole(image: str) -> None:
    part, _ = get(image, range="bytes=0-9")
    assert part.headers["Content-Type"] == "image/png"
    assert part.headers["X-Content-Type-Options"] == "nosniff"
    assert part.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert part.headers["Content-Disposition"] == 'inline; filename="a.png"'


def test_a_range_behind_the_end_is_refused_with_the_size(image: str) -> None:
    _, content = get(image)
    refused, _ = get(image, range="bytes=1000000-")
    assert refused.status_code == 416
    assert refused.headers["Content-Range"] == f"bytes */{len(content)}"
    assert refused.json() == {
        "detail": f"Range: this file has {len(content)} bytes, and none of them is in the range asked for."
    }


def test_several_ranges_at_once_are_answered_with_the_whole_file(image: str) -> None:
    response, content = get(image, range="bytes=0-1,5-6")
    assert (response.status_code, len(content)) == (200, int(response.headers["Content-Length"]))


def test_a_client_with_other_bytes_gets_the_whole_file(image: str) -> None:
    whole, content = get(image)
    same, part = get(image, range="bytes=0-9", if_range=whole.headers["ETag"])
    assert (same.status_code, part) == (206, content[:10])
    for other in ('"other"', f"W/{whole.headers['ETag']}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        response, all_of_it = get(image, range="bytes=0-9", if_range=other)
        assert (response.status_code, all_of_it) == (200, content)


def test_a_client_that_has_the_file_gets_no_part_of_it(image: str) -> None:
    whole, _ = get(image)
    response, content = get(image, range="bytes=0-9", if_none_match=whole.headers["ETag"])
    assert (response.status_code, content) == (304, b"")


def test_head_tells_of_the_whole_file_and_reads_none_of_it(image: str) -> None:
    _, content = get(image)
    response = APIClient().head(image, headers={"range": "bytes=0-9"})
    assert (response.status_code, response.streaming, response.content) == (200, False, b"")
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Content-Disposition"] == 'inline; filename="a.png"'
    assert response.headers["Accept-Ranges"] == "bytes"
