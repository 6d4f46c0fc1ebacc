"""Handing prompts in, their order, and what is known of them afterwards."""

import pytest
import requests

from tests.generation.simulator_process import DEADLINE_SECONDS, OLD_RELEASE, Simulator, flux_graph, wait_for

pytest_plugins = ("tests.generation.simulator_fixtures",)

TROUBLE = "500 Internal Server Error\n\nServer got itself in trouble"


@pytest.mark.parametrize(("given", "used"), [("mine", "mine"), (12345, "12345"), (None, "None"), ("", "")])
def test_the_callers_prompt_id_is_taken_as_text(simulator: Simulator, given: object, used: str) -> None:
    assert simulator.submit(flux_graph(), prompt_id=given) == used


def test_without_an_id_the_server_makes_a_uuid(simulator: Simulator) -> None:
    assert len(simulator.submit(flux_graph())) == 36


def test_numbers_count_every_request_but_those_with_their_own(simulator: Simulator) -> None:
    first = simulator.post("/prompt", {"prompt": flux_graph()}).json()["number"]
    simulator.post("/prompt", {"prompt": {}})
    explicit = simulator.post("/prompt", {"prompt": flux_graph(), "number": 7}).json()["number"]
    front = simulator.post("/prompt", {"prompt": flux_graph(), "front": True}).json()["number"]
    assert (explicit, front) == (7.0, -(first + 2))


def test_the_lowest_number_runs_first_and_the_latest_front_before_the_earlier(simulator: Simulator) -> None:
    simulator.start_endless()
    orders = [("fifo-1", {}), ("fifo-2", {}), ("half", {"number": 0.5}), ("front-1", {"front": True})]
    orders += [("front-2", {"front": True}), ("lowest", {"number": -1000})]
    for prompt_id, order in orders:
        simulator.submit(flux_graph(), prompt_id=prompt_id, **order)
    expected = ["lowest", "front-2", "front-1", "half", "fifo-1", "fifo-2"]
    assert simulator.queued_ids()[1] == expected
    simulator.post("/interrupt")
    for prompt_id in expected:
        simulator.entry(prompt_id)
    assert list(simulator.get("/history").json())[-len(expected) :] == expected


def test_the_same_number_and_id_again_is_a_500_and_queued_all_the_same(simulator: Simulator) -> None:
    simulator.start_endless()
    body = {"prompt": flux_graph(), "prompt_id": "twin", "number": 5}
    assert simulator.post("/prompt", body).status_code == 200
    again = simulator.post("/prompt", body)
    assert (again.status_code, again.text) == (500, TROUBLE)
    assert simulator.queued_ids()[1] == ["twin", "twin"]


def test_one_id_may_wait_twice_and_the_history_keeps_the_later(simulator: Simulator) -> None:
    simulator.start_endless()
    for number in (1, 2):
        simulator.submit(flux_graph(), prompt_id="double", number=number)
    simulator.post("/interrupt")
    wait_for(lambda: simulator.queued_ids() == ([], []), "both ran")
    assert simulator.entry("double")["prompt"][0] == 2


def test_a_queue_item_has_five_parts(simulator: Simulator) -> None:
    simulator.start_endless()
    graph = flux_graph()
    simulator.submit(
        graph, prompt_id="waiting", client_id="me", extra_data={"mine": 1, "api_key_comfy_org": "secret"}, number=3
    )
    ((number, prompt_id, its_graph, extra_data, outputs),) = simulator.get("/queue").json()["queue_pending"]
    assert (number, prompt_id, its_graph, outputs) == (3, "waiting", graph, ["15"])
    assert extra_data.pop("create_time") > 1_600_000_000_000
    assert extra_data == {"mine": 1, "client_id": "me"}
    assert simulator.get("/prompt").json() == {"exec_info": {"queue_remaining": 2}}


def test_the_history_of_what_has_not_ended_is_an_empty_object(simulator: Simulator) -> None:
    running = simulator.start_endless()
    waiting = simulator.submit(flux_graph())
    for prompt_id in ("never-heard-of", running, waiting):
        answer = simulator.get(f"/history/{prompt_id}")
        assert (answer.status_code, answer.json()) == (200, {})


def test_a_success_in_the_history(simulator: Simulator) -> None:
    entry = simulator.run(flux_graph(prefix="history/img"), prompt_id="remembered")
    assert entry["prompt"][1] == "remembered"
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("success", True)
    names = [name for name, _ in entry["status"]["messages"]]
    assert names == ["execution_start", "execution_cached", "execution_success"]
    assert list(entry["outputs"]) == ["15"]
    assert entry["meta"] == {"15": {"node_id": "15", "display_node": "15", "parent_node": None, "real_node_id": "15"}}


def test_the_history_pages_from_the_old_end_or_gives_the_newest(simulator: Simulator) -> None:
    simulator.post("/history", {"clear": True})
    for prompt_id in "abc":
        simulator.run(flux_graph(), prompt_id=prompt_id)
    assert list(simulator.get("/history?max_items=2").json()) == ["b", "c"]
    assert list(simulator.get("/history?max_items=2&offset=0").json()) == ["a", "b"]
    assert simulator.get("/history?max_items=0").json() == {}
    assert simulator.get("/history?max_items=abc").status_code == 500
    simulator.post("/history", {"delete": ["b", "unknown"]})
    assert list(simulator.get("/history").json()) == ["a", "c"]


def test_a_job_is_pending_then_in_progress_then_completed(simulator: Simulator) -> None:
    with simulator.hold.after_steps(1):
        simulator.start_endless()
        prompt_id = simulator.submit(flux_graph(), extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})
        assert simulator.get(f"/api/jobs/{prompt_id}").json()["status"] == "pending"
        simulator.post("/interrupt")
        wait_for(lambda: simulator.queued_ids()[0] == [prompt_id], "it runs")
        assert simulator.get(f"/api/jobs/{prompt_id}").json()["status"] == "in_progress"
    entry = simulator.entry(prompt_id)
    job = simulator.get(f"/api/jobs/{prompt_id}").json()
    assert (job["status"], job["outputs_count"], job["workflow_id"]) == ("completed", 1, "w")
    assert job["outputs"] == entry["outputs"]
    assert job["preview_output"]["nodeId"] == "15"
    assert job["create_time"] <= job["execution_start_time"] <= job["execution_end_time"]


def test_jobs_are_listed_newest_first_and_can_be_filtered(simulator: Simulator) -> None:
    simulator.post("/history", {"clear": True})
    for prompt_id in ("job-1", "job-2"):
        simulator.run(flux_graph(), prompt_id=prompt_id)
    running = simulator.start_endless()
    listing = simulator.get("/api/jobs?limit=2").json()
    assert [job["id"] for job in listing["jobs"]] == [running, "job-2"]
    assert listing["pagination"] == {"offset": 0, "limit": 2, "total": 3, "has_more": True}
    completed = simulator.get("/api/jobs?status=completed").json()["jobs"]
    assert [job["id"] for job in completed] == ["job-2", "job-1"]
    assert simulator.get("/api/jobs?status=bogus").status_code == 400


def test_an_unknown_job_is_404_and_jobs_exist_only_below_api(simulator: Simulator) -> None:
    assert simulator.get("/api/jobs/nobody").json() == {"error": "Job not found"}
    assert simulator.get("/api/jobs/nobody").status_code == 404
    assert simulator.get("/jobs").status_code == 404


@pytest.mark.parametrize("body", [b"hello", b"", b'{"prompt": null}', b'{"prompt": {"1": null}}', b"5"])
def test_a_body_that_crashes_the_real_handler_is_a_plain_500(simulator: Simulator, body: bytes) -> None:
    answer = requests.post(f"{simulator.url}/prompt", data=body, timeout=DEADLINE_SECONDS)
    assert (answer.status_code, answer.text) == (500, TROUBLE)
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_the_content_type_of_a_prompt_does_not_matter(simulator: Simulator) -> None:
    answer = requests.post(f"{simulator.url}/prompt", data=b'{"prompt": {}}', timeout=DEADLINE_SECONDS)
    assert answer.json()["error"]["type"] == "prompt_no_outputs"


def test_routes_also_answer_below_api(simulator: Simulator) -> None:
    for path in ("/queue", "/history", "/prompt", "/features", "/system_stats", "/models", "/object_info"):
        assert simulator.get(f"/api{path}").status_code == simulator.get(path).status_code == 200


def test_wrong_methods_are_405_and_unknown_paths_404(simulator: Simulator) -> None:
    assert requests.put(f"{simulator.url}/prompt", timeout=DEADLINE_SECONDS).status_code == 405
    assert requests.delete(f"{simulator.url}/queue", timeout=DEADLINE_SECONDS).status_code == 405
    assert simulator.get("/nope").status_code == 404


def test_the_system_has_a_device_with_memory(simulator: Simulator) -> None:
    stats = simulator.get("/system_stats").json()
    assert stats["system"]["comfyui_version"] == OLD_RELEASE
    (device,) = stats["devices"]
    assert device["name"] == "stand-in"
    assert 0 < device["vram_free"] < device["vram_total"]


def test_only_the_wanted_outputs_run_where_the_caller_names_them(simulator: Simulator) -> None:
    graph = flux_graph()
    graph["16"] = {"class_type": "SaveImage", "inputs": {"images": ["14", 0], "filename_prefix": "unwanted"}}
    assert list(simulator.run(graph, partial_execution_targets=["15"])["outputs"]) == ["15"]
