"""The whole of Isengard as `make run` starts it: every process real, on a data directory and ports of its own."""

import io
import re
import signal
import sqlite3
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import requests
from PIL import Image

from tests.isengard.supervisor_fixtures import SupervisorRun, eventually
from tests.stack import free_port, is_alive

# The longer time is for a busy machine.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

ADMIN_PASSWORD = re.compile(r"Log in to the admin pages as admin with the password (\S+) \(shown only this once\)")
MEMORY_LIMIT_BYTES = 800_000_000
PROCESSES = {
    "guard": "isengard.supervisor.guard",
    "valkey": "valkey-server",
    "comfyui": "generation.engines.simulator",
    "web": "isengard.server",
    "worker-training": "-Q training",
    "worker-generation": "-Q generation",
    "maintenance": "-Q maintenance",
    "beat": " beat ",
}
TRAINER = "run.py"
SUPERVISOR = [sys.executable, "-m", "isengard.supervisor"]
REQUEST_SECONDS = 60
START_SECONDS = 120


class Stack(SupervisorRun):
    """One run of everything on `directory`."""

    def __init__(self, directory: Path, arguments: list[str]) -> None:
        self.port = free_port()
        self.directory = directory
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            "ISENGARD_DATA_DIR": str(directory / "data"),
            "PORT": str(self.port),
            "ISENGARD_SIMULATOR_STEP_SECONDS": "0.05",
        }
        super().__init__(arguments, directory / f"log-{uuid.uuid4().hex}", environment)

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait_until_healthy(self) -> float:
        return eventually(self.is_healthy, within_seconds=START_SECONDS, otherwise=lambda: self.log)

    def wait_for_banner(self) -> None:
        self.wait_for_line("Isengard is ready at", within_seconds=START_SECONDS)

    def wait_until_ready(self) -> None:
        self.wait_for_banner()
        self.wait_for_line(" ready.", times=3, within_seconds=START_SECONDS)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A first start on an empty data directory, ended by Ctrl-C: all that is left is its log and its data."""
    stack = Stack(tmp_path_factory.mktemp("isengard"), ["make", "--silent", "run"])
    try:
        stack.wait_until_ready()
        stack.press_ctrl_c()
        stack.wait_until_nothing_is_left()
    finally:
        stack.destroy()
    return stack


@pytest.fixture(scope="module")
def data(first_run: Stack) -> Path:
    return first_run.directory


@pytest.fixture(scope="module")
def stack(data: Path) -> Iterator[Stack]:
    """A second start, on what the first one left."""
    running = Stack(data, SUPERVISOR)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.destroy()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    started: list[Stack] = []

    def start_another(arguments: list[str]) -> Stack:
        started.append(Stack(tmp_path, arguments))
        return started[-1]

    yield start_another
    for running in started:
        running.destroy()


def test_the_banner_says_where_isengard_is(stack: Stack) -> None:
    assert f"Isengard is ready at {stack.url} " in stack.log
    stack.wait_until_healthy()


def test_the_first_start_makes_an_admin_who_can_log_in_and_the_second_keeps_silent(
    first_run: Stack, stack: Stack
) -> None:
    (password,) = ADMIN_PASSWORD.findall(first_run.log)
    assert "Log in" not in stack.log
    with requests.Session() as browser:
        page = f"{stack.url}/admin/login/?next=/admin/"
        browser.get(page, timeout=REQUEST_SECONDS)
        form = {"username": "admin", "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        answer = browser.post(page, data=form, timeout=REQUEST_SECONDS)
    assert answer.url == f"{stack.url}/admin/"
    assert answer.ok


def test_all_processes_together_stay_small(stack: Stack) -> None:
    everyone = [psutil.Process(stack.process.pid), *stack.descendants()]
    total = sum(process.memory_full_info().pss for process in everyone)
    sys.stdout.write(f"all {len(everyone)} processes: {total / 1e6:.0f} MB\n")
    assert total < MEMORY_LIMIT_BYTES


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_that_is_killed_comes_back_and_the_log_says_so(stack: Stack, name: str) -> None:
    killed = stack.child(PROCESSES[name])
    killed.kill()
    stack.wait_for_line(f"{name} died (killed by SIGKILL); starting it again in 0.5 s")
    eventually(lambda: bool(stack.children(PROCESSES[name])))
    stack.wait_until_healthy()


def test_a_second_run_on_the_same_data_is_refused_by_one_line(stack: Stack, data: Path) -> None:
    second = Stack(data, SUPERVISOR)
    try:
        assert second.process.wait(60) == 1
    finally:
        second.destroy()
    (line,) = second.log.splitlines()
    assert f"in use by another run (pid {stack.process.pid})" in line


def test_a_stop_while_everything_starts_leaves_nothing_behind(start: Callable[..., Stack], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with closing(sqlite3.connect(tmp_path / "data" / "isengard.sqlite3")) as database:
        # Meanwhile the tables cannot be made, so that it is not over before it is seen.
        database.execute("BEGIN EXCLUSIVE")
        running = start(SUPERVISOR)
        running.child("prepare")
        running.stop(signal.SIGTERM)
    assert running.process.returncode == 0
    running.wait_until_nothing_is_left()


def begin_training(stack: Stack) -> None:
    """Start a training that goes on for minutes; return when its trainer runs."""
    character = {"name": "Gandalf", "trigger_word": "gandalf_person"}
    character_id = requests.post(f"{stack.url}/api/characters", json=character, timeout=REQUEST_SECONDS).json()["id"]
    picture = io.BytesIO()
    Image.new("RGB", (256, 256), "grey").save(picture, "PNG")
    files = {"files": ("gandalf.png", picture.getvalue(), "image/png")}
    requests.post(
        f"{stack.url}/api/characters/{character_id}/images", files=files, timeout=REQUEST_SECONDS
    ).raise_for_status()
    job = {"character_id": character_id, "config": {"method": "lora", "steps": 10_000}}
    requests.post(f"{stack.url}/api/training", json=job, timeout=REQUEST_SECONDS).raise_for_status()
    stack.child(TRAINER)


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]], ids=["SIGTERM", "Ctrl-C twice"])
def test_a_stop_in_the_middle_of_a_training_ends_everything_in_time(
    start: Callable[..., Stack], signals: list[signal.Signals]
) -> None:
    running = start(SUPERVISOR)
    running.wait_until_ready()
    begin_training(running)
    seconds = running.stop(*signals, within_seconds=30)
    sys.stdout.write(f"everything ended in {seconds:.1f} s\n")
    assert running.process.returncode == 0
    running.wait_until_nothing_is_left()


def test_a_kill_9_of_the_supervisor_leaves_nothing_behind(start: Callable[..., Stack]) -> None:
    running = start(SUPERVISOR)
    running.wait_until_ready()
    begin_training(running)
    running.stop(signal.SIGKILL)
    running.wait_until_nothing_is_left()


def test_a_kill_9_of_make_ends_everything_too(start: Callable[..., Stack]) -> None:
    running = start(["make", "--silent", "run"])
    running.wait_for_banner()
    supervisor = running.child("isengard.supervisor --stop-with-parent")
    running.stop(signal.SIGKILL)
    eventually(lambda: not is_alive(supervisor))
    running.wait_until_nothing_is_left()
    assert running.log.rstrip().endswith("stopped")
