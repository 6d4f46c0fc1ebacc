"""Whatever dies costs seconds: no job is lost or run twice, and nothing is left behind."""

import re
import signal
import sqlite3
import time
from collections.abc import Callable

import psutil
import pytest
import requests

from tests.api_client import Api
from tests.conftest import wait_until
from tests.faults.caught import caught_generation, caught_training, trainers
from tests.faults.standing_still import database_of, standing_still
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

# Whoever cancels waits no longer. On a machine that stood still meanwhile, another try shows it.
PROMPT_GONE_SECONDS, TRAINER_GONE_SECONDS = 2.0, 10.0
TRIES = 5


def worker(stack: Stack, kind: str) -> psutil.Process:
    return stack.processes("celery", "worker", f"{kind}@")[0]


def row(stack: Stack, job: str, *columns: str) -> tuple:
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(f"SELECT {', '.join(columns)} FROM jobs_job WHERE id = ?", [job]).fetchone()


def loras(stack: Stack, character: str) -> list[str]:
    return sorted(path.name for path in (stack.data_dir / "loras" / character).iterdir())


def place(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, re.split("[-.]", event_id)))


def wait_for_log(api: Api, job: str, *words: str) -> None:
    """The last lines of a run are written after its job has ended."""

    def log() -> str:
        return api.call("GET", f"/api/jobs/{job}/logs").text

    wait_until(lambda: all(word in log() for word in words), what=f"{words} in the log")


def test_a_worker_killed_in_mid_training_costs_nothing_but_seconds(api: Api, stack: Stack) -> None:
    with caught_training(api, stack) as caught:
        worker(stack, "training").kill()
    psutil.wait_procs([caught.process], timeout=60)
    assert not caught.process.is_running()
    ended = api.wait_for(caught.job)
    assert (ended["status"], ended["attempt"], ended["current_step"]) == ("completed", 2, 400)
    assert loras(stack, caught.character) == ["v1.safetensors"]
    wait_for_log(api, caught.job, "its worker process died", "RESUMING")


def test_a_stream_goes_on_through_the_death_of_the_worker(api: Api, stack: Stack) -> None:
    with caught_training(api, stack) as caught:
        stream = api.stream(caught.job)
        events = iter(stream)
        next(event for event in events if event.data["current_step"] > 100)
        worker(stack, "training").kill()
    with stream:
        rest = list(events)
    assert any(event.data["status"] == "queued" for event in rest)
    assert rest[-1].data["status"] == "completed"
    ids = [place(event.id) for event in rest]
    assert ids == sorted(ids)


def test_a_worker_that_is_told_to_stop_saves_and_gives_the_job_back_at_no_cost(api: Api, stack: Stack) -> None:
    with caught_training(api, stack) as caught:
        worker(stack, "training").send_signal(signal.SIGTERM)
    ended = api.wait_for(caught.job)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    assert row(stack, caught.job, "crashes") == (0,)
    wait_for_log(api, caught.job, "its worker is shutting down", "RESUMING")


def test_a_trainer_that_is_killed_goes_on_from_its_checkpoint(api: Api, stack: Stack) -> None:
    with caught_training(api, stack) as caught:
        caught.process.kill()
    ended = api.wait_for(caught.job)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    assert loras(stack, caught.character) == ["v1.safetensors"]


def is_cancelled_within(seconds: float, order: Callable[[], str], is_gone: Callable[[str], bool], api: Api) -> bool:
    """Cancel a job; return whether all of it was gone in time. It has to go in any case."""
    job = order()
    began = time.monotonic()
    assert api.cancel(job)["status"] == "cancelled"
    wait_until(lambda: is_gone(job), what=f"the end of {job}")
    assert api.wait_for(job)["status"] == "cancelled"
    return time.monotonic() - began < seconds


def test_a_cancelled_training_is_gone_and_its_gpu_free_within_ten_seconds(api: Api, stack: Stack) -> None:
    def begun() -> str:
        job = api.train(api.make_character(), steps=5000)
        wait_until(lambda: api.job(job)["current_step"] > 5, what="step 5")
        assert len(trainers(stack, job)) == 1
        assert row(stack, job, "gpu_id") != (None,)
        return job

    def is_gone(job: str) -> bool:
        is_free = row(stack, job, "gpu_id", "holder") == (None, None)
        return is_free and not trainers(stack, job) and not (stack.data_dir / "workspaces" / job).exists()

    assert any(is_cancelled_within(TRAINER_GONE_SECONDS, begun, is_gone, api) for _ in range(TRIES))


def test_a_cancelled_generations_prompt_is_gone_within_two_seconds(api: Api, stack: Stack) -> None:
    def prompts(job: str) -> list[str]:
        queue = requests.get(f"{stack.comfyui_url}/queue", timeout=60).json()
        return [item[1] for item in queue["queue_running"] + queue["queue_pending"] if job in str(item[3])]

    def begun() -> str:
        job = api.generate(steps=100, count=8)
        wait_until(lambda: api.job(job)["status"] == "running" and prompts(job), what="the prompt")
        return job

    assert any(is_cancelled_within(PROMPT_GONE_SECONDS, begun, lambda job: not prompts(job), api) for _ in range(TRIES))


def test_a_generation_worker_killed_in_mid_job_goes_on_at_the_first_missing_image(api: Api, stack: Stack) -> None:
    with caught_generation(api, stack) as caught:
        worker(stack, "generation").kill()
    ended = api.wait_for(caught.job)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    assert ended["output_paths"] == [f"{caught.job}-{n}.png" for n in range(4)]
    assert ended["seeds"] == [100, 101, 102, 103]


def test_a_comfyui_that_is_killed_in_mid_job_is_started_again_and_the_job_ends_well(api: Api, stack: Stack) -> None:
    with caught_generation(api, stack) as caught:
        caught.process.kill()
    ended = api.wait_for(caught.job)
    assert (ended["status"], len(ended["output_paths"])) == ("completed", 4)


def test_a_redis_that_is_killed_loses_nothing(api: Api, stack: Stack) -> None:
    with caught_training(api, stack) as caught:
        (valkey,) = stack.processes("valkey-server")
        valkey.kill()
    while_away = api.generate()
    ended = api.wait_for(caught.job)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)
    assert api.wait_for(while_away)["status"] == "completed"


def test_a_web_server_that_is_killed_comes_back_and_streams_go_on(api: Api, stack: Stack) -> None:
    with caught_training(api, stack) as caught, api.stream(caught.job) as stream:
        events = iter(stream)
        last = next(events)
        stack.processes("isengard.server")[0].kill()
        with pytest.raises(requests.RequestException):
            list(events)
    wait_until(stack.is_healthy, what="the web server")
    with api.stream(caught.job, last_event_id=last.id) as stream:
        rest = list(stream)
    assert place(rest[0].id) > place(last.id)
    assert rest[-1].data["status"] == "completed"


def test_a_web_server_that_is_told_to_stop_ends_its_streams_in_order(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), steps=5000)
    with api.stream(job) as stream:
        events = iter(stream)
        next(events)
        (server,) = stack.processes("isengard.server")
        server.terminate()
        assert "complete" not in [event.event for event in events]
    psutil.wait_procs([server], timeout=60)
    wait_until(stack.is_healthy, what="the web server")
    api.cancel(job)


def test_a_stopped_worker_does_not_run_its_job_twice(api: Api, stack: Stack) -> None:
    with caught_training(api, stack) as caught, standing_still(worker(stack, "training"), database_of(stack)):
        assert len(trainers(stack, caught.job)) == 1
    ended = api.wait_for(caught.job)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)
