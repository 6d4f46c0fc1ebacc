"""Whatever dies costs seconds: no job is lost or run twice, and nothing is left behind."""

import os
import signal
import sqlite3

import psutil
import pytest
import requests

from tests.api_client import Api
from tests.conftest import wait_until
from tests.stack import Stack

pytestmark = pytest.mark.stack

SLOW_STEPS = {"steps": 400, "checkpoint_every_n_steps": 100, "sample_every_n_steps": 1000, "sample_count": 1}


def trainers(stack: Stack, job: str) -> list[psutil.Process]:
    return [process for process in stack.processes("run.py") if job in " ".join(process.cmdline())]


def worker(stack: Stack, kind: str) -> psutil.Process:
    return stack.processes("celery", "worker", f"{kind}@")[0]


def row(stack: Stack, job: str, *columns: str) -> tuple:
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(f"SELECT {', '.join(columns)} FROM jobs_job WHERE id = ?", [job]).fetchone()


def loras(stack: Stack, character: str) -> list[str]:
    return sorted(path.name for path in (stack.data_dir / "loras" / character).iterdir())


def test_a_worker_killed_in_mid_training_costs_nothing_but_seconds(api: Api, stack: Stack) -> None:
    character = api.make_character()
    job = api.train(character, **SLOW_STEPS)
    wait_until(lambda: api.job(job)["current_step"] > 150, what="step 150")
    (trainer,) = trainers(stack, job)
    worker(stack, "training").kill()
    psutil.wait_procs([trainer], timeout=5)
    assert not trainer.is_running()
    ended = api.wait_for(job)
    assert (ended["status"], ended["attempt"], ended["current_step"]) == ("completed", 2, 400)
    assert loras(stack, character) == ["v1.safetensors"]
    log = api.call("GET", f"/api/jobs/{job}/logs").text
    assert "its worker process died" in log
    assert "RESUMING" in log


def test_a_stream_goes_on_through_the_death_of_the_worker(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), **SLOW_STEPS)
    with api.stream(job) as stream:
        events = iter(stream)
        next(event for event in events if event.data["current_step"] > 150)
        worker(stack, "training").kill()
        rest = list(events)
    assert any(event.data["status"] == "queued" for event in rest)
    assert rest[-1].data["status"] == "completed"
    ids = [tuple(map(int, event.id.split("-"))) for event in rest]
    assert ids == sorted(ids)


def test_a_worker_that_is_told_to_stop_saves_and_gives_the_job_back_at_no_cost(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), **SLOW_STEPS)
    wait_until(lambda: api.job(job)["current_step"] > 50, what="step 50")
    worker(stack, "training").send_signal(signal.SIGTERM)
    ended = api.wait_for(job)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    assert row(stack, job, "crashes") == (0,)
    log = api.call("GET", f"/api/jobs/{job}/logs").text
    assert "its worker is shutting down" in log
    assert "RESUMING" in log


def test_a_trainer_that_is_killed_goes_on_from_its_checkpoint(api: Api, stack: Stack) -> None:
    character = api.make_character()
    job = api.train(character, **SLOW_STEPS)
    wait_until(lambda: api.job(job)["current_step"] > 150, what="step 150")
    trainers(stack, job)[0].kill()
    ended = api.wait_for(job)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    assert loras(stack, character) == ["v1.safetensors"]


def test_a_cancelled_training_is_gone_and_its_gpu_free_within_ten_seconds(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), steps=5000)
    wait_until(lambda: api.job(job)["current_step"] > 5, what="step 5")
    (trainer,) = trainers(stack, job)
    assert row(stack, job, "gpu_id") != (None,)
    assert api.cancel(job)["status"] == "cancelled"
    wait_until(lambda: not trainer.is_running(), seconds=10, what="the trainer's end")
    wait_until(lambda: row(stack, job, "gpu_id", "holder") == (None, None), seconds=10, what="the lease's end")
    assert not (stack.data_dir / "workspaces" / job).exists() or wait_until(
        lambda: not (stack.data_dir / "workspaces" / job).exists(), seconds=5, what="the workspace's end"
    )
    assert api.job(job)["status"] == "cancelled"


def test_a_cancelled_generations_prompt_is_gone_within_two_seconds(api: Api, stack: Stack) -> None:
    comfyui = (stack.data_dir / "run" / "comfyui.url").read_text().strip()
    job = api.generate(steps=100, count=8)

    def prompts() -> list[str]:
        queue = requests.get(f"{comfyui}/queue", timeout=5).json()
        return [item[1] for item in queue["queue_running"] + queue["queue_pending"] if job in str(item[3])]

    wait_until(lambda: api.job(job)["status"] == "running" and prompts(), what="the prompt")
    api.cancel(job)
    wait_until(lambda: not prompts(), seconds=2, what="the prompt's end")
    assert api.wait_for(job)["status"] == "cancelled"


def test_a_generation_worker_killed_in_mid_job_goes_on_at_the_first_missing_image(api: Api, stack: Stack) -> None:
    job = api.generate(steps=60, count=4, seed=100)
    wait_until(lambda: len(api.job(job)["output_paths"]) >= 1, what="the first image")
    worker(stack, "generation").kill()
    ended = api.wait_for(job)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    assert ended["output_paths"] == [f"{job}-{n}.png" for n in range(4)]
    assert ended["seeds"] == [100, 101, 102, 103]


def test_a_comfyui_that_is_killed_in_mid_job_is_started_again_and_the_job_ends_well(api: Api, stack: Stack) -> None:
    job = api.generate(steps=60, count=3)
    wait_until(lambda: api.job(job)["status"] == "running", what="the start")
    stack.processes("generation.engines.simulator")[0].kill()
    ended = api.wait_for(job)
    assert (ended["status"], len(ended["output_paths"])) == ("completed", 3)


def test_a_redis_that_is_killed_loses_nothing(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), **SLOW_STEPS)
    wait_until(lambda: api.job(job)["current_step"] > 20, what="step 20")
    (valkey,) = stack.processes("valkey-server")
    valkey.kill()
    while_away = api.generate()
    ended = api.wait_for(job)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)
    assert api.wait_for(while_away)["status"] == "completed"


def test_a_web_server_that_is_killed_comes_back_and_streams_go_on(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), **SLOW_STEPS)
    with api.stream(job) as stream:
        events = iter(stream)
        while (last := next(events)).data["current_step"] <= 20:
            pass
        stack.processes("isengard.server")[0].kill()
        with pytest.raises(requests.RequestException):
            list(events)
    wait_until(stack.is_healthy, seconds=30, what="the web server")
    with api.stream(job, last_event_id=last.id) as stream:
        rest = list(stream)
    first = tuple(map(int, rest[0].id.split("-")))
    assert first > tuple(map(int, last.id.split("-")))
    assert rest[-1].data["status"] == "completed"


def test_a_web_server_that_is_told_to_stop_ends_its_streams_in_order(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), steps=1000)
    with api.stream(job) as stream:
        events = iter(stream)
        next(events)
        (server,) = stack.processes("isengard.server")
        server.terminate()
        assert "complete" not in [event.event for event in events]
    psutil.wait_procs([server], timeout=10)
    wait_until(stack.is_healthy, seconds=30, what="the web server")
    api.cancel(job)


def test_a_stopped_worker_does_not_run_its_job_twice(api: Api, stack: Stack) -> None:
    job = api.train(api.make_character(), **SLOW_STEPS)
    wait_until(lambda: api.job(job)["current_step"] > 20, what="step 20")
    stopped = worker(stack, "training")
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: len(trainers(stack, job)) <= 1, seconds=1)
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    ended = api.wait_for(job)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)
