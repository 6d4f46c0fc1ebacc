"""The database is locked, moved away, stopped or killed: a bounded wait, 503 in JSON, and no restart afterwards."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.api_client import ENDED, Api, photo
from tests.conftest import wait_until
from tests.databases.web import Web
from tests.postgresql import PostgreSQL
from tests.stack import Stack, free_port
from tests.training.holding import Hold

# A second of patience, some for connecting, and what a busy machine adds: far from a hang.
BOUND_SECONDS = 15.0


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("locked") / "data" / "isengard.sqlite3"


@pytest.fixture(scope="module")
def on_sqlite(file: Path) -> Iterator[Web]:
    file.parent.mkdir()
    web = Web(file.parent, f"sqlite:///{file}").prepare().start()
    yield web
    web.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    server = PostgreSQL(port=free_port()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def on_postgresql(server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    data_dir = tmp_path_factory.mktemp("away") / "data"
    data_dir.mkdir()
    web = Web(data_dir, server.ensure_database("web")).prepare().start()
    yield web
    web.stop()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold what a stuck writer or an operator's shell may hold."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def new_character(web: Web, name: str = "Ann") -> str:
    """Make one: the server has a second of patience with its database, which on a busy machine may not do."""
    made = wait_until(lambda: (answer := web.make_character(name)).status_code == 201 and answer, what=name)
    return str(made.json()["id"])


def wait_for_answer(web: Web, path: str) -> None:
    wait_until(lambda: web.ask("GET", path).ok, what=path)


def upload(number: int = 0) -> dict:
    return {"files": [("files", (f"{number}.jpg", photo(number, width=600, height=500), "image/jpeg"))]}


def refuses_all(web: Web, character: str) -> bool:
    """Ask one of each kind, each within its bound."""
    began = time.monotonic()
    requests = [
        ("POST", "/api/characters", {"json": {"name": "Bea", "trigger_word": "bea_person"}}),
        ("POST", f"/api/characters/{character}/images", upload()),
        ("POST", "/api/generation", {"json": {"config": {"prompt": "a portrait"}}}),
    ]
    for method, path, options in requests:
        assert web.refuses(method, path, **options)
    return time.monotonic() - began < BOUND_SECONDS * len(requests)


def is_unready(web: Web) -> bool:
    answer = web.ask("GET", "/ready")
    return answer.status_code == 503 and answer.json()["dependencies"]["database"] == "unavailable"


def log_in(web: Web):
    with_form = web.ask("GET", "/admin/login/")
    token = with_form.cookies["csrftoken"]
    return web.ask(
        "POST",
        "/admin/login/",
        data={"username": "admin", "password": "a long password", "csrfmiddlewaretoken": token},
        cookies={"csrftoken": token},
        allow_redirects=False,
    )


def test_while_sqlite_is_locked_reads_go_on_and_writes_are_refused_in_time(on_sqlite: Web, file: Path) -> None:
    character = new_character(on_sqlite)
    with locked(file):
        assert refuses_all(on_sqlite, character)
        assert is_unready(on_sqlite)
        assert on_sqlite.ask("GET", f"/api/characters/{character}").json()["image_count"] == 0
        assert on_sqlite.ask("GET", "/health").ok
    assert on_sqlite.ask("POST", f"/api/characters/{character}/images", **upload()).status_code == 201
    assert on_sqlite.make_character("Bea").status_code == 201


def test_the_admin_says_in_a_page_that_the_database_is_locked(on_sqlite: Web, file: Path) -> None:
    with locked(file):
        answer = log_in(on_sqlite)
    assert answer.status_code == 503
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "The database does not answer" in answer.text
    assert answer.headers["Retry-After"].isdigit()


def test_a_database_that_is_moved_away_is_not_made_anew(on_sqlite: Web, file: Path) -> None:
    new_character(on_sqlite, "Dora")
    on_sqlite.stop()
    on_sqlite.start()
    aside = file.with_name("aside")
    file.rename(aside)
    assert on_sqlite.refuses("GET", "/api/characters")
    assert not file.exists()
    aside.rename(file)
    assert "Dora" in on_sqlite.ask("GET", "/api/characters").text


def test_a_locked_table_is_waited_for_no_longer_than_told(on_postgresql: Web, server: PostgreSQL) -> None:
    character = new_character(on_postgresql)
    with server.connect("web") as other, other.transaction():
        other.execute("LOCK TABLE characters_character, jobs_job")
        assert refuses_all(on_postgresql, character)
        assert on_postgresql.refuses("GET", "/api/characters")
    wait_for_answer(on_postgresql, f"/api/characters/{character}")


def wait_until_well(web: Web, character: str) -> None:
    wait_for_answer(web, f"/api/characters/{character}")
    new_character(web, "Bea")
    wait_until(lambda: web.ask("GET", "/ready").json()["dependencies"]["database"] == "ok", what="/ready")


def test_a_server_that_was_killed_is_answered_for_with_503_and_found_again(
    on_postgresql: Web, server: PostgreSQL
) -> None:
    character = new_character(on_postgresql)
    server.kill()
    try:
        assert refuses_all(on_postgresql, character)
        assert on_postgresql.refuses("GET", f"/api/characters/{character}")
        assert is_unready(on_postgresql)
        assert "The database does not answer" in log_in(on_postgresql).text
    finally:
        server.start()
    wait_until_well(on_postgresql, character)


def test_a_server_that_says_nothing_any_more_is_given_up_and_found_again(
    on_postgresql: Web, server: PostgreSQL
) -> None:
    character = new_character(on_postgresql)
    server.signal_all(signal.SIGSTOP)
    began = time.monotonic()
    try:
        assert on_postgresql.refuses("GET", f"/api/characters/{character}")
        assert on_postgresql.refuses("POST", f"/api/characters/{character}/images", **upload())
        assert is_unready(on_postgresql)
    finally:
        server.signal_all(signal.SIGCONT)
    assert time.monotonic() - began < 3 * BOUND_SECONDS
    wait_until_well(on_postgresql, character)


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_a_training_and_a_generation_outlive_the_death_of_the_server(
    server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data_dir = tmp_path_factory.mktemp("stack") / "data"
    hold = Hold(data_dir.with_name("hold"), at=120)
    stack = Stack(data_dir, DATABASE_URL=server.ensure_database("stack"), AI_TOOLKIT_PYTHON=hold.python)
    try:
        api = Api(stack.start().url)
        character = api.make_character()
        training = api.train(character, steps=900, checkpoint_every_n_steps=100)
        wait_until(lambda: api.job(training)["current_step"] >= 120, what="step 120")
        generation = api.generate(count=4, steps=100)
        wait_until(lambda: api.job(generation)["status"] in ("running", *ENDED), what="the first picture")
        server.kill()
        hold.let_go()
        assert api.call("GET", f"/api/training/{training}", expect=503).headers["Retry-After"]
        server.start()
        ended = [api.wait_for(job) for job in (training, generation)]
        assert [(job["status"], job["attempt"] <= 2) for job in ended] == [("completed", True)] * 2
        loras = api.get("/api/loras?source=trained")["loras"]
        assert [lora["path"] for lora in loras] == [ended[0]["output_path"]]
        assert len(ended[1]["output_paths"]) == 4
    finally:
        stack.stop()
