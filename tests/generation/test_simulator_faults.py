"""The misbehaviour that tests can ask for."""

import os
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import requests

from tests.generation.simulator_process import (
    DEADLINE_SECONDS,
    ENDLESS_STEPS,
    PROJECT,
    Simulator,
    StartSimulator,
    flux_graph,
    images_of,
    wait_for,
)

pytest_plugins = ("tests.generation.simulator_fixtures",)


def armed(simulator: Simulator) -> list[str]:
    names: list[str] = simulator.get("/simulator/faults").json()["faults"]
    return names


def test_faults_are_listed_until_they_fire_and_replaced_by_new_ones(simulator: Simulator) -> None:
    simulator.arm("slow-decode:0.5", "http-500:2", "oom")
    assert armed(simulator) == ["slow-decode:0.5", "http-500:2", "oom"]
    simulator.arm("error")
    assert armed(simulator) == ["error"]


@pytest.mark.parametrize(
    "faults",
    [["bogus"], ["oom:1"], ["slow-decode"], ["slow-decode:soon"], ["http-500:0"], ["oom", "oom"], "oom", [1]],
)
def test_a_fault_that_nobody_knows_is_refused_and_changes_nothing(simulator: Simulator, faults: object) -> None:
    simulator.arm("error")
    assert simulator.post("/simulator/faults", {"faults": faults}).status_code == 400
    assert armed(simulator) == ["error"]


def test_faults_can_be_armed_at_the_start(start_simulator: StartSimulator) -> None:
    simulator = start_simulator(ISENGARD_SIMULATOR_FAULT="error,slow-decode:0")
    assert simulator.error_of(flux_graph())["exception_type"] == "RuntimeError"
    assert simulator.run(flux_graph())["status"]["completed"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ISENGARD_SIMULATOR_FAULT", "bogus"), ("ISENGARD_SIMULATOR_STEP_SECONDS", "fast")],
)
def test_a_bad_setting_stops_the_start(variable: str, value: str, tmp_path: os.PathLike[str]) -> None:
    command = [sys.executable, "-m", "generation.engines.simulator", "--port", "0", "--base-directory", str(tmp_path)]
    environment = os.environ | {variable: value}
    options = {"stderr": subprocess.PIPE, "timeout": DEADLINE_SECONDS, "check": False}
    ended = subprocess.run(command, cwd=PROJECT, env=environment, **options)
    assert ended.returncode == 1
    assert f"'{value}'" in ended.stderr.decode()


def test_slow_decode(simulator: Simulator) -> None:
    simulator.arm("slow-decode:0.3")
    for _ in range(2):
        before = time.monotonic()
        simulator.run(flux_graph())
        assert time.monotonic() - before > 0.3


def test_lose_prompt(simulator: Simulator) -> None:
    simulator.arm("lose-prompt")
    lost = simulator.submit(flux_graph())
    assert simulator.queued_ids() == ([], [])
    assert simulator.run(flux_graph())["status"]["completed"]
    assert simulator.get(f"/history/{lost}").json() == {}
    assert simulator.get(f"/api/jobs/{lost}").status_code == 404


def test_lose_queue(simulator: Simulator) -> None:
    done = simulator.submit(flux_graph())
    simulator.entry(done)
    owner = simulator.listen("owner")
    running = simulator.submit(flux_graph(steps=ENDLESS_STEPS), client_id="owner")
    waiting = simulator.submit(flux_graph(), client_id="owner")
    owner.until("progress")
    simulator.arm("lose-queue")
    assert simulator.queued_ids() == ([], [])
    for prompt_id in (done, running, waiting):
        assert simulator.get(f"/history/{prompt_id}").json() == {}
    # A prompt that was handed in before that would be done with what is still in memory.
    wait_for(lambda: not simulator.get("/system_stats").json()["devices"][0]["torch_vram_total"], "memory is freed")
    answer = simulator.post("/prompt", {"prompt": flux_graph()}).json()
    assert answer["number"] == 0
    _, cached = simulator.entry(answer["prompt_id"])["status"]["messages"][1]
    assert cached["nodes"] == []
    assert not owner.events("execution_interrupted", "execution_error", "execution_success")


def test_oom(simulator: Simulator) -> None:
    simulator.arm("oom")
    error = simulator.error_of(flux_graph())
    assert (error["node_type"], error["exception_type"]) == ("SamplerCustomAdvanced", "torch.OutOfMemoryError")
    assert error["exception_message"].startswith("CUDA out of memory")
    assert simulator.run(flux_graph())["status"]["completed"]


def test_hang_ends_with_an_interrupt(simulator: Simulator) -> None:
    simulator.arm("hang")
    prompt_id = simulator.submit(flux_graph())
    wait_for(lambda: not armed(simulator), "it hangs")
    assert simulator.get(f"/history/{prompt_id}").json() == {}
    simulator.post("/interrupt", {"prompt_id": prompt_id})
    assert simulator.entry(prompt_id)["status"]["messages"][-1][0] == "execution_interrupted"


def test_hang_deaf_does_not_even_end_with_an_interrupt(simulator: Simulator) -> None:
    simulator.arm("hang-deaf")
    prompt_id = simulator.submit(flux_graph())
    wait_for(lambda: not armed(simulator), "it hangs")
    simulator.post("/interrupt", {"prompt_id": prompt_id})
    assert simulator.listen("me").hears_nothing(0.3)
    assert simulator.queued_ids() == ([prompt_id], [])
    simulator.arm("lose-queue")
    assert simulator.run(flux_graph())["status"]["completed"]


def test_deaf_sockets_stay_open_and_hear_nothing(simulator: Simulator) -> None:
    deaf = simulator.listen("me")
    simulator.arm("deaf-sockets")
    later = simulator.listen("somebody-else")
    simulator.run(flux_graph(), client_id="me")
    later.until("status")
    assert deaf.hears_nothing(0.1)


def test_drop_sockets_breaks_connections_but_the_prompt_goes_on(simulator: Simulator) -> None:
    owner = simulator.listen("me")
    with simulator.hold.after_steps(1):
        prompt_id = simulator.submit(flux_graph(steps=10), client_id="me")
        owner.until("progress")
        simulator.arm("drop-sockets")
        assert owner.close_code() == 1006
    assert simulator.entry(prompt_id)["status"]["completed"]


def test_faults_for_sockets_can_wait_for_the_first_sampling(start_simulator: StartSimulator) -> None:
    simulator = start_simulator(ISENGARD_SIMULATOR_FAULT="drop-sockets")
    owner = simulator.listen("me")
    prompt_id = simulator.submit(flux_graph(), client_id="me")
    assert owner.close_code() == 1006
    assert simulator.entry(prompt_id)["status"]["completed"]


def test_http_500_hits_the_next_requests_only(simulator: Simulator) -> None:
    simulator.arm("http-500:2")
    assert [simulator.get("/queue").status_code for _ in range(3)] == [500, 500, 200]


def test_no_output_file(simulator: Simulator) -> None:
    (image,) = images_of(simulator.run(flux_graph()))
    assert simulator.view(image).status_code == 200
    simulator.arm("no-output-file")
    assert simulator.view(image).status_code == 404


def test_crash(start_simulator: StartSimulator) -> None:
    simulator = start_simulator()
    simulator.arm("crash")
    # The answer may be lost with the server.
    with suppress(requests.ConnectionError):
        simulator.submit(flux_graph())
    assert simulator.process.wait(DEADLINE_SECONDS) == 1
    with pytest.raises(requests.ConnectionError):
        simulator.get("/queue")


def test_the_step_time_sets_the_pace(start_simulator: StartSimulator) -> None:
    simulator = start_simulator(ISENGARD_SIMULATOR_STEP_SECONDS="0.15")

    def seconds() -> float:
        began = time.monotonic()
        simulator.run(flux_graph(steps=3))
        return time.monotonic() - began

    assert seconds() > 0.9, "three steps, and three for loading the model"
    # It is as quick as that, if not always on a busy machine.
    wait_for(lambda: seconds() < 0.8, "a prompt whose model is loaded already")
