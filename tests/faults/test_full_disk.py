"""A disk that is really full: what cannot be stored is refused or fails in words, and the service lives on."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from isengard.supervisor.valkey import answers_ping, valkey_argv
from tests.api_client import Api, photo
from tests.conftest import wait_until
from tests.faults.small_disk import SmallDisk, small_disk
from tests.faults.test_dead_processes import wait_for_log
from tests.stack import Stack
from tests.training.holding import Hold

pytestmark = [pytest.mark.stack, pytest.mark.small_disk, pytest.mark.timeout(400)]

STORAGE_IS_FULL = "The server's storage is full, so this could not be kept; tell the operator and try again later."


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disks")


@pytest.fixture(scope="module")
def files_disk(place: Path) -> Iterator[SmallDisk]:
    """Where files, uploads and workspaces are."""
    with small_disk(place / "data", megabytes=64) as disk:
        yield disk


@pytest.fixture(scope="module")
def rows_disk(place: Path) -> Iterator[SmallDisk]:
    """Where the database is, and what Redis keeps."""
    with small_disk(place / "rows", megabytes=16) as disk:
        yield disk


@pytest.fixture(scope="module")
def redis_url(place: Path, rows_disk: SmallDisk) -> Iterator[str]:
    socket, folder = place / "valkey.sock", rows_disk.folder / "redis"
    folder.mkdir()
    process = subprocess.Popen(valkey_argv(listen_on=socket, keep_in=folder), stdout=subprocess.DEVNULL)
    wait_until(lambda: answers_ping(socket), what="Valkey's answer")
    yield f"unix://{socket}"
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def trainers_hold(place: Path) -> Hold:
    return Hold(place / "hold", at=1)


@pytest.fixture
def hold(trainers_hold: Hold) -> Iterator[Hold]:
    """How far the trainers of the stack go."""
    yield trainers_hold
    trainers_hold.let_go()


@pytest.fixture(scope="module")
def stack(files_disk: SmallDisk, rows_disk: SmallDisk, redis_url: str, trainers_hold: Hold) -> Iterator[Stack]:
    database = rows_disk.folder / "isengard.sqlite3"
    running = Stack(
        files_disk.folder,
        DATABASE_URL=f"sqlite:///{database}",
        REDIS_URL=redis_url,
        AI_TOOLKIT_PYTHON=trainers_hold.python,
        # The floor would keep everything away from a disk this small.
        ISENGARD_MIN_FREE_GB="0",
    )
    try:
        yield running.start()
    finally:
        running.stop()


def rows(disk: SmallDisk, query: str, *values: str) -> list[tuple]:
    address = f"file:{disk.folder / 'isengard.sqlite3'}?mode=ro"
    with sqlite3.connect(address, uri=True, timeout=10) as database:
        return database.execute(query, values).fetchall()


def files_after_all_requests(disk: SmallDisk) -> set[str]:
    """A request's own copy of its files goes when the answer has been sent, so a client may see it a moment longer."""

    def in_flight() -> list[Path]:
        return list((disk.folder / "tmp").glob("*.upload*"))

    wait_until(lambda: not in_flight(), what="the end of all uploads")
    return disk.files()


def test_an_upload_is_answered_with_507_and_leaves_nothing(api: Api, files_disk: SmallDisk) -> None:
    character = api.make_character()
    path = f"/api/characters/{character}/images"
    picture = {"files": [("files", ("b.jpg", photo(1, width=900, height=700), "image/jpeg"))]}
    before = files_after_all_requests(files_disk)
    with files_disk.filled():
        assert api.call("POST", path, expect=507, **picture).json() == {"detail": STORAGE_IS_FULL}
        assert files_after_all_requests(files_disk) == before
        ready = api.call("GET", "/ready", expect=503).json()
        assert ready["dependencies"]["storage"] == "full"
    assert api.call("POST", path, expect=201, **picture).json()["uploaded"] == ["b.jpg"]
    api.call("GET", "/ready")


@contextmanager
def full(disk: SmallDisk) -> Iterator[None]:
    """Fill the disk, when nothing is on its way out that would leave room again."""
    files_after_all_requests(disk)
    with disk.filled():
        yield


def test_a_generation_fails_in_words_and_the_next_one_works(api: Api, files_disk: SmallDisk, rows_disk: SmallDisk):
    with full(files_disk):
        failed = api.generate()
        ended = api.wait_for(failed)
    assert ended["status"] == "failed"
    assert ended["error_message"].startswith("The disk is full: free some space")
    assert ended["attempt"] == 1
    assert api.wait_for(api.generate())["status"] == "completed"
    # Its log had no room either, and is stored when there is some.
    named = "SELECT log_key FROM jobs_job WHERE id = ? AND log_key != ''"
    ((key,),) = wait_until(lambda: rows(rows_disk, named, failed), what="the archived log")
    assert "job.failed" in (files_disk.folder / key).read_text()
    # The log of the second one may just be on its way.
    wait_until(lambda: not [name for name in files_disk.files() if name.endswith(".part")], what="whole files")


def test_a_training_fails_in_words_and_its_retry_goes_on_from_the_checkpoint(
    api: Api, files_disk: SmallDisk, hold: Hold
) -> None:
    hold.at(150)
    steps = {"steps": 400, "checkpoint_every_n_steps": 100, "sample_every_n_steps": 1000}
    job = api.train(api.make_character(), **steps)
    wait_until(lambda: api.get(f"/api/jobs/{job}/checkpoints")["total_count"], what="a checkpoint")
    with full(files_disk):
        hold.let_go()
        ended = api.wait_for(job)
        assert ended["status"] == "failed"
        assert "disk is full" in ended["error_message"]
        again = api.call("POST", f"/api/training/{job}/retry", expect=201).json()["id"]
        # It has nowhere to put the pictures.
        assert api.wait_for(again)["status"] == "failed"
    again = api.call("POST", f"/api/training/{job}/retry", expect=201).json()["id"]
    assert api.wait_for(again)["status"] == "completed"
    wait_for_log(api, again, "RESUMING")


def test_without_room_for_rows_reads_are_served_writes_refused_and_what_runs_goes_on(
    api: Api, rows_disk: SmallDisk, hold: Hold
) -> None:
    hold.at(100)
    character = api.make_character()
    job = api.train(character, steps=300)
    wait_until(lambda: api.job(job)["current_step"] > 20, what="step 20")
    new = {"name": "Ben", "trigger_word": "ben", "description": "x" * 2000}
    accepted = []
    with rows_disk.filled():
        refused = _post_until_refused(f"{api.url}/api/characters", new, accepted)
        assert (refused.status_code, refused.json()) == (507, {"detail": STORAGE_IS_FULL})
        assert api.get(f"/api/characters/{character}")["id"] == character
        assert api.job(job)["status"] == "running"
        hold.let_go()
    ended = api.wait_for(job)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)
    assert rows(rows_disk, "PRAGMA integrity_check") == [("ok",)]
    listed = [character["id"] for character in api.get("/api/characters") if character["name"] == "Ben"]
    assert sorted(listed) == sorted(accepted)
    assert api.wait_for(api.generate())["status"] == "completed"


def _post_until_refused(address: str, body: dict, accepted: list[str]) -> requests.Response:
    """Some pages are left in files that are there already."""
    for _ in range(2000):
        answer = requests.post(address, json=body, timeout=60)
        if answer.status_code != 201:
            return answer
        accepted.append(answer.json()["id"])
    raise AssertionError("the disk was never full")
