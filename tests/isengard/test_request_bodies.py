"""Request bodies that are larger than they may be, or that come without a length."""

import json
import socket
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import requests
from django.test import Client

from characters.models import Character
from isengard.api.bodies import BoundedBody
from isengard.api.exceptions import TooLarge
from tests.api_client import Api, photo
from tests.stack import Stack

LIMIT_BYTES = 1_000_000
TOO_LARGE = {"detail": "The request body is too large; send at most 1000000 bytes."}
JSON = {"Content-Type": "application/json"}


class Unread(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("nothing of it may be read")


def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    body = BoundedBody(Unread(b"x" * 20), limit_bytes=10, announced_bytes=11)
    with pytest.raises(TooLarge):
        body.read(1)


def test_a_body_that_announced_nothing_is_cut_off_at_the_limit() -> None:
    source = BytesIO(b"x" * 100)
    body = BoundedBody(source, limit_bytes=10, announced_bytes=0)
    assert body.read(10) == b"x" * 10
    with pytest.raises(TooLarge):
        body.read(50)
    assert source.tell() == 11


@pytest.mark.parametrize("size", [-1, None, 100])
def test_a_body_within_the_limit_is_read_whole(size: int | None) -> None:
    body = BoundedBody(BytesIO(b"0123456789"), limit_bytes=10, announced_bytes=10)
    assert (body.read(size), body.read(size)) == (b"0123456789", b"")


@pytest.mark.django_db
def test_json_over_a_megabyte_is_refused_and_changes_nothing(client: Client) -> None:
    body = json.dumps({"name": "Ann", "trigger_word": "ann", "description": "x" * LIMIT_BYTES})
    response = client.post("/api/characters", body, content_type="application/json")
    assert (response.status_code, response.json()) == (413, TOO_LARGE)
    assert not Character.objects.exists()


@pytest.mark.django_db
def test_an_unknown_character_is_told_before_the_size(client: Client) -> None:
    response = client.generic("PUT", "/api/characters/char-x/images/a.jpg/caption", b"x" * (LIMIT_BYTES + 1))
    assert response.status_code == 404


def pieces(count: int, piece: bytes = b"x" * 100_000) -> Iterator[bytes]:
    for _ in range(count):
        yield piece


def head_alone(stack: Stack, *lines: str) -> bytes:
    """Send a request without its body and return the first bytes of the answer."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "Host: localhost", "", ""]).encode())
        return connection.recv(4096)


@pytest.mark.stack
class TestOverASocket:
    def test_a_body_in_chunks_is_read(self, api: Api) -> None:
        body = iter([b'{"name": "Ann", ', b'"trigger_word": "ann_person"}'])
        answer = api.call("POST", "/api/characters", expect=201, data=body, headers=JSON)
        assert answer.json()["name"] == "Ann"

    def test_photos_in_chunks_are_kept(self, api: Api) -> None:
        character = api.make_character()
        form = requests.Request("POST", api.url, files={"files": ("b.jpg", photo(9, width=640, height=480))}).prepare()
        assert isinstance(form.body, bytes)
        answer = api.call(
            "POST",
            f"/api/characters/{character}/images",
            expect=201,
            data=iter([form.body[:1000], form.body[1000:]]),
            headers={"Content-Type": form.headers["Content-Type"]},
        )
        assert answer.json()["uploaded"] == ["b.jpg"]

    @pytest.mark.parametrize("body", [b"x" * 5 * LIMIT_BYTES, "chunks"])
    def test_a_client_that_sends_too_much_hears_why(self, api: Api, body: Any) -> None:
        sent = pieces(50) if body == "chunks" else body
        answer = api.call("POST", "/api/characters", expect=413, data=sent, headers=JSON)
        assert answer.json() == TOO_LARGE

    @pytest.mark.parametrize("path", ["images", "images.zip"])
    def test_a_client_that_asks_before_it_sends_is_spared_the_sending(self, api: Api, stack: Stack, path: str) -> None:
        answer = head_alone(
            stack,
            f"POST /api/characters/{api.make_character()}/{path} HTTP/1.1",
            "Content-Type: multipart/form-data; boundary=x",
            "Content-Length: 50000000000",
            "Expect: 100-continue",
        )
        assert answer.startswith(b"HTTP/1.1 413 ")

    def test_a_stream_waits_for_no_body(self, stack: Stack) -> None:
        answer = head_alone(stack, "POST /api/jobs/train-x/stream HTTP/1.1", "Content-Length: 50000000000")
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))
