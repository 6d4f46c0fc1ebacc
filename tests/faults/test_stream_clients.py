"""A hundred clients that leave and come back at random, while everything dies once: none of them misses a thing."""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable

import psutil
import pytest

from tests.api_client import Api
from tests.conftest import wait_until
from tests.faults.stream_clients import Client, follow
from tests.stack import Stack

pytestmark = pytest.mark.stack

CLIENTS = 100
SEED = 20261123
STEPS = 800
TRAINING = {
    "steps": STEPS,
    "sample_every_n_steps": 200,
    "sample_count": 2,
    "checkpoint_every_n_steps": 200,
    "max_checkpoints": 4,
}
END_SECONDS = 90
# What a server that nobody reads from has open: its listener, its database connections and those to Redis.
OPEN_FILES = 80


class Faults:
    """Kills one thing after the other as the training goes on."""

    def __init__(self, api: Api, stack: Stack, job: str) -> None:
        self._api = api
        self._stack = stack
        self._job = job

    def cause(self) -> None:
        self._reach(30)
        self._web_server(psutil.Process.kill)
        # Past a checkpoint, so that the second attempt goes on from there.
        self._reach(240)
        self._stack.processes("celery", "worker", "training@")[0].kill()
        self._reach(400, attempt=2)
        self._stack.processes("valkey-server")[0].kill()
        self._reach(560)
        self._web_server(psutil.Process.terminate)

    def _reach(self, step: int, *, attempt: int = 1) -> None:
        # Read from the row: between the two the web server may be away.
        def reached() -> bool:
            found = row(self._stack, self._job, "current_step", "attempt", "status")
            return (found[0] >= step and found[1] >= attempt) or found[2] in ("completed", "failed")

        wait_until(reached, seconds=END_SECONDS, what=f"step {step}")

    def _web_server(self, signal: Callable[[psutil.Process], None]) -> None:
        signal(self._stack.processes("isengard.server")[0])


def row(stack: Stack, job: str, *columns: str) -> tuple:
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(f"SELECT {', '.join(columns)} FROM jobs_job WHERE id = ?", [job]).fetchone()


def read_as_a_hundred(stack: Stack, job: str) -> list[Client]:
    clients = [Client(number) for number in range(CLIENTS)]
    path = f"/api/jobs/{job}/stream"

    async def read() -> None:
        readers = [follow("127.0.0.1", stack.port, path, client, seed=SEED) for client in clients]
        await asyncio.wait_for(asyncio.gather(*readers), END_SECONDS)

    asyncio.run(read())
    return clients


@pytest.fixture(scope="module")
def story(stack: Stack) -> tuple[dict, set[str], list[Client]]:
    """The job as it ended, the names of its files, and what each client was told."""
    api = Api(stack.url)
    job = api.train(api.make_character(), **TRAINING)
    faults = threading.Thread(target=Faults(api, stack, job).cause)
    faults.start()
    clients = read_as_a_hundred(stack, job)
    faults.join()
    wait_until(stack.is_healthy, seconds=30, what="the web server")
    listed = api.get(f"/api/jobs/{job}/artifacts")["artifacts"]
    return api.job(job), {file["name"] for file in listed if file["type"] in ("sample", "checkpoint")}, clients


def test_the_training_went_through_two_attempts_and_ended_well(story: tuple) -> None:
    job, names, clients = story
    assert (job["status"], job["attempt"], job["current_step"]) == ("completed", 2, STEPS)
    assert {"step_00200.png", "step_00200_1.png", "step_00800.png"} <= names
    assert len({name for name in names if name.endswith(".safetensors")}) >= 3
    reconnections = sum(len(client.statuses) - 1 for client in clients)
    assert reconnections > 2 * CLIENTS


def test_each_client_is_told_each_event_once_and_in_order(story: tuple) -> None:
    for client in story[2]:
        ids = [told.id for told in client.told]
        assert all(before < after for before, after in itertools.pairwise(ids)), (client.number, ids)


def test_each_client_is_told_of_every_sample_and_checkpoint(story: tuple) -> None:
    _, names, clients = story
    missed = {client.number: names - client.artifacts for client in clients if not names <= client.artifacts}
    assert not missed


def test_each_client_sees_the_job_go_back_to_the_queue_and_start_again(story: tuple) -> None:
    for client in story[2]:
        states = client.states()
        assert [state for state in states if state[0]][-4:] == [
            (1, "running"),
            (1, "queued"),
            (2, "running"),
            (2, "completed"),
        ], (client.number, states)


def test_each_client_is_told_the_end_and_then_to_stop(story: tuple) -> None:
    job, _, clients = story
    for client in clients:
        last = client.told[-1]
        told = (last.event, last.data["status"], last.data["current_step"], last.data["message"])
        assert told == ("complete", job["status"], STEPS, "Training complete")
        assert (client.statuses[-1], client.statuses.count(204)) == (204, 1)
        assert set(client.statuses) == {200, 204}


def test_nothing_of_a_hundred_clients_stays_open(story: tuple, stack: Stack) -> None:
    (server,) = stack.processes("isengard.server")
    wait_until(lambda: server.num_fds() < OPEN_FILES, what=f"fewer than {OPEN_FILES} open files")
