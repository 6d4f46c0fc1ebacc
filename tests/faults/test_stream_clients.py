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

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

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
# As attempt and status.
WAY = [(1, "running"), (1, "queued"), (2, "running"), (2, "completed")]
END_SECONDS = 120
# What a server that nobody reads from has open: its listener, its database connections and those to Redis.
OPEN_FILES = 80


class Faults:
    """Kills one thing after the other as the training goes on."""

    def __init__(self, stack: Stack, job: str, clients: list[Client]) -> None:
        self._stack = stack
        self._job = job
        self._clients = clients

    def cause(self) -> None:
        self._reach(30)
        self._web_server(psutil.Process.kill)
        # Past a checkpoint, so that the second attempt goes on from there.
        self._reach(240)
        self._process("celery", "worker", "training@").kill()
        self._reach(400, attempt=2)
        # With Redis everything dies that was told and not heard yet.
        wait_until(self._have_all_heard_of_the_second_attempt, seconds=END_SECONDS, what="news for all clients")
        self._process("valkey-server").kill()
        self._reach(560)
        self._web_server(psutil.Process.terminate)

    def _reach(self, step: int, *, attempt: int = 1) -> None:
        # Read from the row: between the two the web server may be away.
        def reached() -> bool:
            found = row(self._stack, self._job, "current_step", "attempt", "status")
            return (found[0] >= step and found[1] >= attempt) or found[2] in ("completed", "failed")

        wait_until(reached, seconds=END_SECONDS, what=f"step {step}")

    def _web_server(self, signal: Callable[[psutil.Process], None]) -> None:
        signal(self._process("isengard.server"))

    def _process(self, *words: str) -> psutil.Process:
        """Return it once it is there: what was killed before is started again only after a while."""
        return wait_until(lambda: self._stack.processes(*words), seconds=END_SECONDS, what=f"{words}")[0]

    def _have_all_heard_of_the_second_attempt(self) -> bool:
        return all(client.told and client.told[-1].data["attempt"] == 2 for client in self._clients)


def row(stack: Stack, job: str, *columns: str) -> tuple:
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(f"SELECT {', '.join(columns)} FROM jobs_job WHERE id = ?", [job]).fetchone()


def read_as_a_hundred(stack: Stack, job: str, clients: list[Client]) -> None:
    path = f"/api/jobs/{job}/stream"

    async def read() -> None:
        readers = [follow("127.0.0.1", stack.port, path, client, seed=SEED) for client in clients]
        await asyncio.wait_for(asyncio.gather(*readers), END_SECONDS)

    asyncio.run(read())


@pytest.fixture(scope="module")
def story(stack: Stack) -> tuple[dict, set[str], list[Client]]:
    """The job as it ended, the names of its files, and what each client was told."""
    api = Api(stack.url)
    job = api.train(api.make_character(), **TRAINING)
    clients = [Client(number) for number in range(CLIENTS)]
    faults = threading.Thread(target=Faults(stack, job, clients).cause)
    faults.start()
    read_as_a_hundred(stack, job, clients)
    faults.join()
    wait_until(stack.is_healthy, what="the web server")
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


def test_clients_see_the_job_go_back_to_the_queue_and_start_again(story: tuple) -> None:
    seen = {client.number: [state for state in client.states() if state[0]] for client in story[2]}
    for number, states in seen.items():
        # Who comes back while Redis takes a second to answer is told how the job is now, and not how it came there.
        assert states == [state for state in WAY if state in states], (number, states)
        assert states[-1] == WAY[-1]
    assert sum(states == WAY for states in seen.values()) > CLIENTS / 2, seen


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
    # What the hundred had open is let go after they are gone.
    wait_until(lambda: server.num_fds() < OPEN_FILES, what=f"fewer than {OPEN_FILES} open files")
