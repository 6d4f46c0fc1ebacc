"""The supervisor's parts: the console, its children and their ends, and the private Valkey it starts."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis

from isengard import settings
from isengard.supervisor import child as child_module
from isengard.supervisor import supervisor as supervisor_module
from isengard.supervisor.child import HEALTHY_AFTER_SECONDS, LONGEST_DELAY_SECONDS, Child
from isengard.supervisor.console import LONGEST_LINE_BYTES, Console, LineSplitter
from isengard.supervisor.errors import CannotStart
from isengard.supervisor.health import answers_http, url_of
from isengard.supervisor.spec import ProcessSpec, StopStage
from isengard.supervisor.supervisor import EXTRA_GRACE_SECONDS, PATIENCE_SECONDS, Supervisor
from isengard.supervisor.valkey import answers_ping, prepare_socket_directory, valkey_argv
from tests.isengard.supervisor_fixtures import PROJECT_DIRECTORY, eventually


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
        eventually(lambda: answers_ping(self.socket))

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


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
    private.process.wait(60)
    assert private.socket.exists()
    assert not answers_ping(private.socket)
    private.start()


def test_a_socket_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(CannotStart, match="belongs to another user"):
        prepare_socket_directory(tmp_path / "valkey.sock")


def test_nobody_listening_is_not_ready() -> None:
    with closing(socket.socket()) as held:
        # Bound and not listening: meanwhile nobody else is given this port.
        held.bind(("127.0.0.1", 0))
        assert not answers_http("127.0.0.1", held.getsockname()[1], "/health")


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


def test_restarts_are_never_more_than_half_a_minute_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    child = Child(ProcessSpec(name="worker", argv=("true",)))
    for _ in range(12):
        child.postpone()
    assert child.seconds_to_start == child.pause_seconds == LONGEST_DELAY_SECONDS


def test_the_pause_that_is_told_is_the_whole_one_however_late_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr(child_module, "time", clock)
    child = Child(ProcessSpec(name="worker", argv=("true",)))
    child.postpone()
    clock.monotonic = lambda: 1005.0
    assert (child.pause_seconds, child.seconds_to_start) == (0.5, 0.0)


def test_a_long_life_makes_up_for_earlier_deaths() -> None:
    child = Child(ProcessSpec(name="worker", argv=("sh", "-c", "exit 1")))
    for _ in range(5):
        child.postpone()
    child.start()
    child._started_at -= HEALTHY_AFTER_SECONDS
    eventually(child.has_exited)
    exit_code, _ = child.bury()
    child.note_exit(exit_code)
    assert child.seconds_to_start <= 0.5


def test_what_ended_while_the_supervisor_stood_still_is_not_called_deaf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ProcessSpec(name="beat", argv=("sleep", "600"))
    with (tmp_path / "log").open("wb", buffering=0) as log:
        console = Console(log.fileno(), [spec.name])
        supervisor = Supervisor([spec], run_id="none", console=console, grace_seconds=1.0, banner=[])
        (beat,) = supervisor._children
        beat.start()
        times = _two_looks_at_a_clock(beat)
        monkeypatch.setattr(supervisor_module, "time", SimpleNamespace(monotonic=lambda: next(times)))
        supervisor._stop_stage([beat], StopStage.APPLICATION)
    assert not beat.is_running
    assert b"did not stop" not in (tmp_path / "log").read_bytes()


def _two_looks_at_a_clock(child: Child) -> Iterator[float]:
    """Yield a time, and when the child has ended another one, long after."""
    yield 0.0
    eventually(child.has_exited)
    yield from itertools.repeat(1000.0)


def test_a_stop_takes_ten_seconds_at_most_where_nothing_is_deaf_to_sigkill() -> None:
    assert settings.SHUTDOWN_GRACE_SECONDS + EXTRA_GRACE_SECONDS + sum(PATIENCE_SECONDS.values()) < 10


def in_a_process_of_its_own(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_DIRECTORY, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_last_moments_changes_no_exit_code(number: signal.Signals) -> None:
    ended = in_a_process_of_its_own(f"""
import os
from isengard.supervisor.signals import StopSignals

class Last:
    def __del__(self, send=os.kill, to=os.getpid()):
        send(to, {number.value})

last = Last()
with StopSignals():
    pass
""")
    assert ended.returncode == 0


def test_what_is_left_is_killed_even_if_looking_for_it_took_all_the_time() -> None:
    ended = in_a_process_of_its_own("""
import subprocess
from isengard.supervisor.leftovers import end_leftovers

left = subprocess.Popen(["sleep", "600"])
killed = end_leftovers("none", patience_seconds=0)
left.wait(60)
print(killed)
""")
    assert ended.stdout == "['sleep 600']\n"
