"""The image, without a Docker engine: what it copies is enough to run, and it runs as it should."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from tests.conftest import wait_until
from tests.docs.container_files import copied_from_the_project, image_environment, instructions
from tests.docs.pages import PROJECT


def test_the_image_starts_from_pinned_releases() -> None:
    assert {line.split()[0] for line in instructions("FROM")} == {"python:3.11-slim-bookworm"}


def test_the_image_runs_as_an_ordinary_user_below_an_init() -> None:
    (user,) = instructions("USER")
    assert user != "root"
    (adding,) = [run for run in instructions("RUN") if run.startswith("useradd ")]
    assert adding.partition(" &&")[0].split()[-1] == user
    assert instructions("ENTRYPOINT") == ['["tini", "--"]']
    assert any("install --yes --no-install-recommends tini" in run for run in instructions("RUN"))


def test_the_image_keeps_its_data_in_a_volume_and_listens_where_it_says() -> None:
    environment = image_environment()
    assert instructions("VOLUME") == [environment["ISENGARD_DATA_DIR"]] == ["/data"]
    assert instructions("EXPOSE") == [environment["PORT"]]
    assert environment["HOST"] == "0.0.0.0"


def test_the_command_of_the_image_is_the_web_server() -> None:
    assert instructions("CMD")[-1] == '["python", "-m", "isengard.server"]'
    assert importlib.util.find_spec("isengard.server")


def test_all_that_is_copied_exists_and_is_let_through() -> None:
    let_through = set(re.findall(r"^!(.+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE))
    assert set(copied_from_the_project()) == let_through
    assert [source for source in copied_from_the_project() if not (PROJECT / source).exists()] == []


def test_what_is_copied_is_enough_to_collect_static_files_and_pass_the_checks(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    for source in copied_from_the_project():
        _copy(PROJECT / source, app / source)
    (collect,) = re.findall(r"manage\.py (collectstatic --no-input)", "\n".join(instructions("RUN")))
    _manage(app, *collect.split())
    assert (app / "staticfiles" / "admin" / "css" / "base.css").is_file()
    _manage(app, "check", "--fail-level", "ERROR")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _manage(app: Path, *arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "ISENGARD_DATA_DIR": str(app.parent / "data")}
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=app, env=environment, check=True, capture_output=True)


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that gives every path the status in the test's parameter."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def health_check(port: int) -> int:
    (line,) = instructions("HEALTHCHECK")
    command = yaml.safe_load(line.partition("CMD ")[2])
    return subprocess.run(
        [sys.executable, *command[1:]], cwd=PROJECT, env={"PORT": str(port)}, check=False, capture_output=True
    ).returncode


@pytest.mark.parametrize("answering", [200, 400], indirect=True)
def test_the_health_check_is_content_with_any_answer_but_a_failure(answering: int) -> None:
    # It waits for a second, which may be too short on a busy machine.
    wait_until(lambda: health_check(answering) == 0, what="a health check that is content")


@pytest.mark.parametrize("answering", [500], indirect=True)
def test_the_health_check_fails_where_the_answer_is_a_failure(answering: int) -> None:
    assert health_check(answering) != 0


def test_the_health_check_fails_where_nothing_listens() -> None:
    with closing(socket.socket()) as held:
        # Bound and not listening: meanwhile nobody else is given this port.
        held.bind(("127.0.0.1", 0))
        assert health_check(held.getsockname()[1]) != 0
