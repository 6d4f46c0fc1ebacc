"""Interrupting the running prompt and deleting waiting ones."""

import pytest
import requests

from tests.generation.simulator_process import DEADLINE_SECONDS, ENDLESS_STEPS, Simulator, flux_graph, wait_for

pytest_plugins = ("tests.generation.simulator_fixtures",)


def last_event(simulator: Simulator, prompt_id: str) -> tuple[str, dict[str, object]]:
    name, details = simulator.entry(prompt_id)["status"]["messages"][-1]
    return name, details


@pytest.mark.parametrize("body", [None, {}, "own id"])
def test_an_interrupt_stops_the_running_prompt_and_the_next_one_runs(simulator: Simulator, body: object) -> None:
    running = simulator.start_endless()
    waiting = simulator.submit(flux_graph())
    simulator.post("/interrupt", {"prompt_id": running} if body == "own id" else body)
    name, details = last_event(simulator, running)
    assert (name, details["node_id"], details["node_type"]) == ("execution_interrupted", "13", "SamplerCustomAdvanced")
    status = simulator.entry(running)["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert last_event(simulator, waiting)[0] == "execution_success"


def test_an_interrupt_without_any_body_works_too(simulator: Simulator) -> None:
    running = simulator.start_endless()
    answer = requests.post(f"{simulator.url}/interrupt", timeout=DEADLINE_SECONDS)
    assert (answer.status_code, answer.text) == (200, "")
    assert last_event(simulator, running)[0] == "execution_interrupted"


def test_an_interrupt_with_another_id_is_ignored(simulator: Simulator) -> None:
    owner = simulator.listen("owner")
    running = simulator.submit(flux_graph(steps=ENDLESS_STEPS), client_id="owner")
    waiting = simulator.submit(flux_graph())
    owner.until("progress")
    for prompt_id in ("unknown", waiting):
        assert simulator.post("/interrupt", {"prompt_id": prompt_id}).status_code == 200
    for _ in range(3):
        owner.until("progress")
    assert simulator.queued_ids() == ([running], [waiting])


def test_an_interrupt_of_an_idle_server_does_not_hit_a_later_prompt(simulator: Simulator) -> None:
    simulator.post("/interrupt", {})
    assert simulator.run(flux_graph())["status"]["completed"]


def test_the_owner_of_an_interrupted_prompt_is_told(simulator: Simulator) -> None:
    owner = simulator.listen("owner")
    prompt_id = simulator.submit(flux_graph(steps=ENDLESS_STEPS), client_id="owner")
    owner.until("progress")
    simulator.post("/interrupt", {"prompt_id": prompt_id})
    details = owner.until("execution_interrupted", prompt_id=prompt_id)["data"]
    assert "13" not in details["executed"]
    owner.until_end(prompt_id)


def test_everybody_is_told_when_a_prompt_without_an_owner_is_interrupted(simulator: Simulator) -> None:
    witness = simulator.listen("witness")
    prompt_id = simulator.start_endless()
    simulator.post("/interrupt", {})
    witness.until("execution_interrupted", prompt_id=prompt_id)


def test_an_interrupt_during_decoding_takes_effect_when_that_is_done(simulator: Simulator) -> None:
    owner = simulator.listen("owner")
    with simulator.hold.before("decode"):
        prompt_id = simulator.submit(flux_graph(), client_id="owner")
        owner.until("executing", node="14")
        simulator.post("/interrupt", {"prompt_id": prompt_id})
        assert owner.hears_nothing(0.2)
    assert owner.until("execution_interrupted")["data"]["node_id"] == "14"
    assert simulator.entry(prompt_id)["outputs"] == {}


def test_an_interrupted_job_is_failed_without_an_error(simulator: Simulator) -> None:
    prompt_id = simulator.start_endless()
    simulator.post("/interrupt", {})
    simulator.entry(prompt_id)
    job = simulator.get(f"/api/jobs/{prompt_id}").json()
    assert job["status"] == "failed"
    assert "execution_error" not in job


def test_a_deleted_prompt_leaves_no_trace(simulator: Simulator) -> None:
    witness = simulator.listen("owner")
    running = simulator.start_endless()
    waiting = simulator.submit(flux_graph(), client_id="owner")
    answer = simulator.post("/queue", {"delete": [waiting]})
    assert (answer.status_code, answer.text) == (200, "")
    assert simulator.queued_ids() == ([running], [])
    assert simulator.get(f"/history/{waiting}").json() == {}
    assert simulator.get(f"/api/jobs/{waiting}").status_code == 404
    witness.until("status", status={"exec_info": {"queue_remaining": 2}})
    witness.until("status", status={"exec_info": {"queue_remaining": 1}})
    assert not any("prompt_id" in m["data"] and m["data"]["prompt_id"] == waiting for m in witness.events())


def test_deleting_does_not_touch_the_running_or_unknown_prompts(simulator: Simulator) -> None:
    running = simulator.start_endless()
    assert simulator.post("/queue", {"delete": [running, "unknown"]}).status_code == 200
    assert simulator.queued_ids() == ([running], [])


def test_deleting_an_id_removes_one_prompt_per_call(simulator: Simulator) -> None:
    simulator.start_endless()
    for number in (1, 2):
        simulator.submit(flux_graph(), prompt_id="double", number=number)
    simulator.post("/queue", {"delete": ["double"]})
    assert simulator.queued_ids()[1] == ["double"]


def test_clearing_empties_the_queue_but_for_the_running_prompt(simulator: Simulator) -> None:
    running = simulator.start_endless()
    for _ in range(3):
        simulator.submit(flux_graph())
    simulator.post("/queue", {"clear": True})
    assert simulator.queued_ids() == ([running], [])


def test_memory_is_freed_after_the_running_prompt(simulator: Simulator) -> None:
    graph = flux_graph()
    simulator.run(graph)
    assert simulator.post("/free", {"unload_models": True, "free_memory": True}).status_code == 200

    def is_uncached() -> bool:
        _, cached = simulator.run(graph)["status"]["messages"][1]
        simulator.post("/free", {"free_memory": True})
        return cached["nodes"] == []

    wait_for(is_uncached, "nothing is cached")
