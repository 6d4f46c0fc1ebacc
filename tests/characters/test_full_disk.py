"""What clients hear when nothing more can be stored, and what is left of it."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import ConnectionHandler, OperationalError, connection
from django.test import Client
from django.test.client import encode_multipart
from rest_framework.test import APIClient

from characters import disk, photos, uploading
from characters.models import Character, TrainingImage
from isengard.api.bodies import BoundedBody
from isengard.databases.configuration import configured
from tests.characters.making import jpeg, new_character, send, upload

pytestmark = pytest.mark.django_db

SAID = {"detail": "The server's storage is full, so this could not be kept; tell the operator and try again later."}


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)
    return tmp_path


@pytest.fixture(params=[errno.ENOSPC, errno.EDQUOT])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system finds no room when a file is to be written for good."""

    def refuse(_: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "fsync", refuse)


UPLOADS = [
    ("/api/characters/{id}/images", "files"),
    ("/api/characters/{id}/images.zip", "file"),
    ("/api/loras/upload", "file"),
    ("/api/generation/images", "file"),
]


@pytest.mark.parametrize(("path", "field"), UPLOADS)
def test_below_the_floor_no_upload_is_taken_and_nothing_of_it_is_read(
    path: str, field: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    character = new_character()["id"]
    settings.MIN_FREE_BYTES = 10**18
    monkeypatch.setattr(BoundedBody, "read", lambda *_: pytest.fail("the body was read"))
    sent = SimpleUploadedFile("a.jpg", jpeg())
    response = APIClient().post(path.format(id=character), {field: sent}, format="multipart")
    assert response.status_code == 507
    assert re.fullmatch(
        r"The server's storage has .+ free; this upload needs 1 MB of it, and 1000000000\.0 GB must stay free: .+",
        response.json()["detail"],
    )


def test_an_upload_is_refused_that_would_leave_less_than_the_floor(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    character, content = new_character()["id"], jpeg()
    settings.MIN_FREE_BYTES = 1_000_000
    monkeypatch.setattr(disk, "free_bytes", lambda: 1_000_000 + len(content))
    assert send(character, ("a.jpg", content)).status_code == 507
    monkeypatch.setattr(disk, "free_bytes", lambda: 1_000_000 + 3 * len(content))
    assert send(character, ("a.jpg", content)).status_code == 201


def test_a_body_in_chunks_must_find_room_for_the_largest_file(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    boundary = "b"
    body = encode_multipart(boundary, {"files": SimpleUploadedFile("a.jpg", jpeg())})
    sent = {
        "CONTENT_TYPE": f"multipart/form-data; boundary={boundary}",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": BytesIO(body),
    }
    path = f"/api/characters/{new_character()['id']}/images"
    settings.MIN_FREE_BYTES = 1_000_000
    needed = settings.MIN_FREE_BYTES + uploading.COPIES * photos.MAX_BYTES
    monkeypatch.setattr(disk, "free_bytes", lambda: needed - 1)
    assert Client().request(REQUEST_METHOD="POST", PATH_INFO=path, **sent).status_code == 507
    monkeypatch.setattr(disk, "free_bytes", lambda: needed)
    assert Client().request(REQUEST_METHOD="POST", PATH_INFO=path, **sent).status_code == 201


def test_below_the_floor_everything_else_is_served(settings: Any) -> None:
    upload(new_character()["id"], ("a.jpg", jpeg()))
    settings.MIN_FREE_BYTES = 10**18
    assert APIClient().get("/api/characters").status_code == 200
    assert new_character()
    info = APIClient().get("/api/info").json()["storage"]
    assert 0 < info["free_bytes"] < info["min_free_bytes"] == 10**18
    ready = APIClient().get("/api/ready")
    assert (ready.status_code, ready.json()["dependencies"]["storage"]) == (503, "low")
    assert " free)" in ready.json()["detail"]


def test_without_a_floor_nobody_asks_how_much_is_free(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MIN_FREE_BYTES = 0
    monkeypatch.setattr(disk, "free_bytes", lambda: 0)
    assert send(new_character()["id"], ("a.jpg", jpeg())).status_code == 201


def test_the_database_s_disk_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "db").mkdir()
    chosen = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db" / "rows")}
    database = configured(chosen, test_database=tmp_path / "test")
    monkeypatch.setattr(disk, "connection", ConnectionHandler({"default": database})["default"])
    place = {"MEDIA_ROOT": str(tmp_path), "FILE_UPLOAD_TEMP_DIR": str(tmp_path)}
    monkeypatch.setattr(disk, "settings", SimpleNamespace(**place))
    room = {tmp_path / "db": 7}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=room.get(folder, 1000)))
    assert disk.free_bytes() == 7


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("full_disk")
def test_a_photo_that_finds_no_room_is_answered_with_507_and_leaves_nothing(root: Path) -> None:
    response = send(new_character()["id"], ("a.jpg", jpeg()))
    assert (response.status_code, response.json()) == (507, SAID)
    assert files_below(root) == []
    assert not TrainingImage.objects.exists()


@pytest.mark.usefixtures("full_disk")
def test_a_photo_can_be_sent_again_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    character_id = new_character()["id"]
    assert send(character_id, ("a.jpg", jpeg())).status_code == 507
    monkeypatch.undo()
    assert upload(character_id, ("a.jpg", jpeg()))["uploaded"] == ["a.jpg"]


@pytest.mark.usefixtures("full_disk")
def test_a_thumbnail_is_sent_from_a_full_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    character_id = new_character()["id"]
    with monkeypatch.context() as room:
        room.setattr(os, "fsync", lambda _: None)
        upload(character_id, ("a.jpg", jpeg()))
    before = files_below(root)
    response = APIClient().get(f"/api/characters/{character_id}/images/a.jpg?size=64")
    assert response.status_code == 200
    assert b"".join(response.streaming_content)[8:12] == b"WEBP"
    assert files_below(root) == before


def refuse_as_postgresql_does(*_arguments: object, **_options: object) -> None:
    """Fail as a statement does for which PostgreSQL's disk has no room, in Django's wrapping."""
    said = 'could not extend file "base/1/2": No space left on device'
    raise OperationalError(said) from psycopg.errors.DiskFull(said)


def test_a_row_for_which_postgresql_finds_no_room_is_answered_with_507(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Character, "save", refuse_as_postgresql_does)
    response = Client().post("/api/characters", {"name": "Ann", "trigger_word": "ann"}, content_type="application/json")
    assert (response.status_code, response.json()) == (507, SAID)


@pytest.fixture
def full_database(transactional_db: None) -> Iterator[None]:
    """SQLite may not grow by a single page, and has none to spare that rows of earlier tests have left."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1073741823")


@pytest.mark.usefixtures("full_database")
def test_a_row_that_finds_no_room_is_answered_with_507() -> None:
    client = Client()
    answers = [
        client.post(
            "/api/characters",
            {"name": "Ann", "trigger_word": "ann", "description": "x" * 2000},
            content_type="application/json",
        )
        for _ in range(30)
    ]
    assert (answers[-1].status_code, answers[-1].json()) == (507, SAID)
    assert Character.objects.count() == sum(answer.status_code == 201 for answer in answers)
