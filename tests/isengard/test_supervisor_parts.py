"""The supervisor's parts: the console, and the private Valkey it starts."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from isengard.supervisor.child import HEALTHY_AFTER_SECONDS, LONGEST_DELAY_SECONDS, Child
from isengard.supervisor.console import LONGEST_LINE_BYTES, Console, LineSplitter
from isengard.supervisor.errors import CannotStart
from isengard.supervisor.health import answers_http, url_of
from isengard.supervisor.ports import free_port
from isengard.supervisor.spec import ProcessSpec
from isengard.supervisor.valkey import answers_ping, prepare_socket_directory, valkey_argv
from tests.isengard.supervisor_fixtures import eventually


class PrivateValkey:
    def __init__(self, directory: Path) -> None:
        self.socket = directory / "run" / "valkey.sock"
        self.directory = directory / "redis"
        self.directory.mkdir()
        prepare_socket_directory(self.socket)
        self.start()

    def start(self) -> None:
        argv = valkey_argv(listen_on=self.socket, keep_in=self.directory)
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        eventually(lambda: answers_ping(self.socket), within_seconds=10)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(10)


@pytest.fixture
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateValkey]:
    server = PrivateValkey(tmp_path_factory.mktemp("v"))
    yield server
    server.stop()


def test_valkey_listens_on_a_socket_for_its_owner_alone(private: PrivateValkey) -> None:
    assert private.socket.stat().st_mode & 0o777 == 0o700
    assert private.socket.parent.stat().st_mode & 0o777 == 0o700
    with redis.Redis(unix_socket_path=str(private.socket)) as client:
        settings = client.config_get("port", "appendonly", "appendfsync", "maxmemory-policy", "save")
    assert settings == {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
    }


def test_valkey_keeps_what_it_was_given_over_a_restart(private: PrivateValkey) -> None:
    with redis.Redis(unix_socket_path=str(private.socket)) as client:
        client.lpush("training", "ring")
    assert private.stop() == 0
    private.start()
    with redis.Redis(unix_socket_path=str(private.socket)) as client:
        assert client.lrange("training", 0, -1) == [b"ring"]


def test_valkey_starts_over_the_socket_of_one_that_was_killed(private: PrivateValkey) -> None:
    private.process.kill()
    private.process.wait(10)
    assert private.socket.exists()
    assert not answers_ping(private.socket)
    private.start()


def test_a_socket_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(CannotStart, match="belongs to another user"):
        prepare_socket_directory(tmp_path / "valkey.sock")


def test_nobody_listening_is_not_ready() -> None:
    assert not answers_http("127.0.0.1", free_port(None), "/health")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("isengard.example", "http://isengard.example:8000"),
    ],
)
def test_the_url_shown_is_one_that_can_be_opened(host: str, url: str) -> None:
    assert url_of(host, 8000) == url


def test_names_are_coloured_on_a_terminal() -> None:
    reader, terminal = os.openpty()
    Console(terminal, ["web"]).write("web", b"hello")
    assert b"\x1b[36mweb      | \x1b[0mhello" in os.read(reader, 1000)
    os.close(reader)
    os.close(terminal)


def test_a_reader_that_went_away_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Console(writer, ["web"]).say("is anybody there?")
    os.close(writer)


def test_a_line_that_never_ends_is_cut_rather_than_collected() -> None:
    splitter = LineSplitter()
    lines = splitter.feed(b"x" * (LONGEST_LINE_BYTES + 1))
    assert [len(line) for line in lines] == [LONGEST_LINE_BYTES + 1]
    assert splitter.flush() == b""


def test_restarts_are_never_more_than_half_a_minute_apart() -> None:
    child = Child(ProcessSpec(name="worker", argv=("true",)))
    for _ in range(12):
        child.postpone()
    assert LONGEST_DELAY_SECONDS - 1 < child.seconds_to_start <= LONGEST_DELAY_SECONDS


def test_a_long_life_makes_up_for_earlier_deaths() -> None:
    child = Child(ProcessSpec(name="worker", argv=("sh", "-c", "exit 1")))
    for _ in range(5):
        child.postpone()
    child.start()
    child._started_at -= HEALTHY_AFTER_SECONDS
    eventually(child.has_exited, within_seconds=5)
    exit_code, _ = child.bury()
    child.note_exit(exit_code)
    assert child.seconds_to_start <= 0.5
