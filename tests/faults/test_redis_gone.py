"""Redis is gone, silent, empty or takes no writes: people's work goes on, and all is made up for by itself."""

import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from redis import Redis

from isengard.supervisor.valkey import valkey_argv
from tests.api_client import ENDED, Api, photo
from tests.conftest import wait_until
from tests.faults.proxy import Proxy
from tests.sse import Sent
from tests.stack import Stack
from tests.training.holding import Hold

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

# Measured: one second for the first that finds Redis silent, next to nothing for the others. A busy machine adds to it.
ANSWER_SECONDS = 3.0
ROUNDS = 5
# Where a training waits while Redis goes away, and where while it comes back.
WITH_REDIS, WITHOUT_REDIS = 100, 350
# A process that waits for Redis says so every two seconds, and a stack has dozens of lines.
FEW_LINES = 40
CATCH_UP_SECONDS = 30
LONG = {"steps": 550, "sample_every_n_steps": 250, "sample_count": 1, "checkpoint_every_n_steps": 500}


class World:
    """A whole Isengard whose Redis is somebody else's, behind a relay."""

    def __init__(self, folder: Path) -> None:
        socket = folder / "valkey.sock"
        argv = valkey_argv(listen_on=socket, keep_in=folder)
        self._server = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        self.redis = Redis(unix_socket_path=str(socket))
        wait_until(socket.exists, what="Valkey's socket")
        self.relay = Proxy(socket).start()
        self.hold = Hold(folder / "hold", at=WITH_REDIS)
        environment = {"REDIS_URL": f"redis://{self.relay.address}/0", "ISENGARD_RATE_LIMITS": "contract"}
        self.stack = Stack(folder / "data", AI_TOOLKIT_PYTHON=self.hold.python, **environment)

    def start(self) -> None:
        self.stack.start()
        self.api = Api(self.stack.url)
        self.character = self.api.make_character()
        self.workers = self.worker_processes()

    def stop(self) -> None:
        self.stack.stop()
        self.relay.stop()
        self.redis.close()
        self._server.kill()
        self._server.wait(10)

    def heal(self) -> None:
        self.relay.heal()
        self.redis.execute_command("CONFIG", "SET", "maxmemory", "0", "requirepass", "")
        self.redis.execute_command("REPLICAOF", "NO", "ONE")

    def worker_processes(self) -> set[int]:
        # Their own children, too, have this command line until they have become somebody else.
        supervisor = self.stack.process.pid
        return {process.pid for process in self.stack.processes("celery", "worker") if process.ppid() == supervisor}

    def trouble(self) -> str:
        """Return why /ready is not; "" if it is."""
        answer = requests.get(f"{self.stack.url}/ready", timeout=60)
        return "" if answer.ok else str(answer.json()["detail"])

    def answer(self, method: str, path: str, **options: object) -> tuple[requests.Response, float]:
        began = time.monotonic()
        answer = requests.request(method, self.stack.url + path, timeout=60, **options)
        return answer, time.monotonic() - began


@dataclass
class Watcher:
    """Reads a training's stream in a thread, from now to its end."""

    api: Api
    job: str
    events: list[Sent] = field(default_factory=list)

    def __enter__(self) -> "Watcher":
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        wait_until(lambda: self.events, what="the first event")
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(120)

    def _read(self) -> None:
        with self.api.stream(self.job) as stream:
            self.events.extend(stream)

    def ids(self) -> list[tuple[int, ...]]:
        return [tuple(int(part) for part in event.id.replace(".", "-").split("-")) for event in self.events]

    def artifacts(self) -> set[str]:
        return {artifact["name"] for event in self.events for artifact in event.data.get("artifacts", ())}

    def wait_for_step(self, step: int) -> None:
        wait_until(lambda: self.events[-1].data["current_step"] >= step, what=f"the news of step {step}")


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("redis"))
    try:
        world.start()
        yield world
    finally:
        world.stop()


@pytest.fixture
def world(running_world: World) -> Iterator[World]:
    yield running_world
    running_world.heal()
    running_world.hold.let_go()
    wait_until(lambda: not running_world.trouble(), what="/ready")


PHOTOS = itertools.count(1)


def quick_answers(world: World) -> tuple[list[str], dict[str, float]]:
    """Have people at work until each answer was quick: those that a machine held up, and not Redis, are quick then."""
    accepted, took = people_at_work(world)
    for _ in range(ROUNDS):
        if max(took.values()) < ANSWER_SECONDS:
            break
        more, again = people_at_work(world)
        accepted += more
        took = {call: min(seconds, again[call]) for call, seconds in took.items()}
    return accepted, took


def people_at_work(world: World) -> tuple[list[str], dict[str, float]]:
    """Do what people do; return the jobs that were accepted, and how long each answer took."""
    files = [("files", ("1.jpg", photo(next(PHOTOS), width=800, height=600), "image/jpeg"))]
    training = {"character_id": world.character, "config": {"steps": 100, "sample_every_n_steps": 1000}}
    picture = {"config": {"prompt": "a portrait", "width": 512, "height": 512, "steps": 4}}
    calls = [
        ("GET", "/health", {}),
        ("GET", "/api/ready", {}),
        ("GET", "/info", {}),
        ("GET", "/api/training", {}),
        ("GET", "/api/generation", {}),
        ("GET", f"/api/characters/{world.character}", {}),
        ("POST", f"/api/characters/{world.character}/images", {"files": files}),
        ("POST", "/api/training", {"json": training}),
        ("POST", "/api/generation", {"json": picture}),
        ("POST", "/api/generation", {"json": picture}),
    ]
    accepted, took = [], {}
    for method, path, options in calls:
        answer, took[f"{method} {path}"] = world.answer(method, path, **options)
        assert answer.status_code in (200, 201) or path == "/api/ready", (path, answer.text)
        if method == "POST" and path in ("/api/training", "/api/generation"):
            assert answer.json()["status"] == "pending"
            accepted.append(answer.json()["id"])
    cancelled, took["cancel"] = world.answer("POST", f"/api/training/{accepted.pop(0)}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    return accepted, took


def test_a_redis_that_is_gone_and_comes_back_empty_costs_no_work_and_no_event(world: World) -> None:
    api = world.api
    world.hold.at(WITH_REDIS)
    training = api.train(world.character, **LONG)
    with Watcher(api, training) as watcher:
        watcher.wait_for_step(WITH_REDIS)
        last_held = watcher.events[-1].id
        gone_at = time.monotonic()
        world.relay.refuse()
        why = "Not ready: redis is unavailable (it cannot be reached)."
        wait_until(lambda: world.trouble() == why, what=why)
        accepted, took = quick_answers(world)
        assert max(took.values()) < ANSWER_SECONDS, took
        # Five a minute are allowed; they let through, and what is wrong is said of each.
        refused = [api.call("POST", "/api/training", expect=400, json={}).status_code for _ in range(7)]
        assert refused == [400] * 7
        world.hold.at(WITHOUT_REDIS)
        watcher.wait_for_step(WITHOUT_REDIS)
        world.redis.flushall()
        world.relay.heal()
        seconds_away = time.monotonic() - gone_at
        world.hold.let_go()
        for job in accepted:
            assert api.wait_for(job, *ENDED)["status"] == "completed"
    ids = watcher.ids()
    assert ids == sorted(set(ids))
    assert (watcher.events[-1].event, watcher.events[-1].data["status"]) == ("complete", "completed")
    assert {"step_00250.png", "step_00500.png"} <= watcher.artifacts()
    with api.stream(training, last_event_id=last_held) as stream:
        again = list(stream)
    assert [(event.event, event.data["status"]) for event in again] == [
        ("progress", "completed"),
        ("complete", "completed"),
    ]
    assert "step_00250.png" in {artifact["name"] for artifact in again[0].data["artifacts"]}
    assert api.job(training)["attempt"] == 1
    assert world.worker_processes() == world.workers
    # Celery's own pauses would have grown to half a minute; what is said of each is a line, not two stacks.
    assert "again in 4" not in world.stack.log
    said = [line for line in world.stack.log.splitlines() if line.startswith("beat")]
    assert len(said) < FEW_LINES + seconds_away


def test_a_redis_that_accepts_and_never_answers_holds_nobody_up(world: World) -> None:
    api = world.api
    world.hold.at(WITH_REDIS)
    training, picture = api.train(world.character, **LONG), api.generate(steps=100, count=2)
    with Watcher(api, training) as watcher:
        watcher.wait_for_step(WITH_REDIS)
        world.relay.freeze()
        accepted, took = quick_answers(world)
        assert max(took.values()) < ANSWER_SECONDS, took
        why = "Not ready: redis is unavailable (it does not answer in time)."
        wait_until(lambda: world.trouble() == why, what=why)
        world.hold.at(WITHOUT_REDIS)
        watcher.wait_for_step(WITHOUT_REDIS)
        world.hold.let_go()
        assert [api.wait_for(job, *ENDED)["status"] for job in (training, picture)] == ["completed"] * 2
    ids = watcher.ids()
    assert ids == sorted(set(ids))
    assert (watcher.events[-1].event, watcher.events[-1].data["status"]) == ("complete", "completed")
    # What was open then stays silent for good, as when the other machine has started anew.
    world.relay.cut()
    world.relay.heal()
    for job in accepted:
        assert api.wait_for(job, *ENDED)["status"] == "completed"
    assert world.worker_processes() == world.workers


REFUSALS = {
    "it is full: what it holds has reached its maxmemory": ("CONFIG", "SET", "maxmemory", "1"),
    "it is a replica that takes no writes": ("REPLICAOF", "127.0.0.1", "1"),
    "it does not take our user or password": ("CONFIG", "SET", "requirepass", "another"),
}
# What a worker says that has met such a Redis.
COMPLAINTS = ("Cannot connect to redis", "Redis is away")


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_redis_that_refuses_what_it_is_told_is_as_good_as_away(world: World, reason: str) -> None:
    said_before = len(world.stack.log)
    world.redis.execute_command(*REFUSALS[reason])
    # A password counts for connections from now on.
    world.relay.cut()
    wait_until(lambda: reason in world.trouble(), what=reason)
    job = world.api.generate()
    assert world.api.job(job)["status"] == "pending"

    # A full one is met only by a worker that connects anew, as those do that were listening when the line was cut.
    wait_until(lambda: any(words in world.stack.log[said_before:] for words in COMPLAINTS), what="a worker's complaint")
    world.heal()
    assert world.api.wait_for(job, *ENDED, seconds=CATCH_UP_SECONDS)["status"] == "completed"
    assert world.worker_processes() == world.workers
