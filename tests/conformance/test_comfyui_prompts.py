"""The life of a prompt as the adapter relies on it, with the stand-in and with a real server."""

import threading
import uuid

import pytest

from tests.conformance.generation_servers import TEST_SECONDS, Server, unique
from tests.conftest import wait_until
from tests.generation.simulator_process import flux_graph, images_of

pytest_plugins = ("tests.conformance.generation_fixtures",)
pytestmark = [pytest.mark.stack, pytest.mark.timeout(TEST_SECONDS)]

# Longer than any test looks at it; each is interrupted in the end.
LONG_STEPS = 3000


def test_the_events_of_a_prompt_come_in_order_with_two_kinds_of_progress(idle_server: Server) -> None:
    client = uuid.uuid4().hex
    listener = idle_server.listen(client)
    prompt_id = idle_server.submit(flux_graph(steps=2), client_id=client)
    listener.until_end(prompt_id)
    listener.close()
    names = [event["type"] for event in listener.events()]
    assert names.index("execution_start") < names.index("execution_cached") < names.index("executing")
    last = [name for name in names if name in ("executed", "execution_success", "executing")]
    assert last[-2:] == ["execution_success", "executing"]
    steps = [event["data"] for event in listener.events("progress")]
    assert [(step["value"], step["max"]) for step in steps] == [(1, 2), (2, 2)]
    assert {step["prompt_id"] for step in steps} == {prompt_id}
    (shown,) = listener.events("executed")
    assert (shown["data"]["node"], len(shown["data"]["output"]["images"])) == ("15", 1)
    states = {each["state"] for event in listener.events("progress_state") for each in event["data"]["nodes"].values()}
    assert states == {"running", "finished"}


@pytest.mark.parametrize(("says_features", "binary_event"), [(False, 1), (True, 4)])
def test_previews_come_as_the_client_can_read_them(
    idle_server: Server,
    says_features: bool,
    binary_event: int,
) -> None:
    client = uuid.uuid4().hex
    listener = idle_server.listen(client)
    if says_features:
        listener.send({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        listener.until("feature_flags")
    more = {"client_id": client, "extra_data": {"preview_method": "latent2rgb"}}
    prompt_id = idle_server.submit(flux_graph(steps=2), **more)
    listener.until_end(prompt_id)
    listener.close()
    assert [int.from_bytes(frame[:4], "big") for frame in listener.previews()] == [binary_event] * 2


def test_the_history_is_empty_until_the_end_and_tells_everything_then(idle_server: Server) -> None:
    graph = flux_graph(steps=2, prefix=f"{unique()}/img")
    assert idle_server.get(f"/history/{uuid.uuid4()}").json() == {}
    extra = {"isengard": {"job": "gen-1", "attempt": 1, "image": 0}}
    entry = idle_server.run(graph, client_id="me", extra_data=extra)
    number, _, sent, extra_data, outputs = entry["prompt"]
    assert isinstance(number, int | float)
    assert (sent["8"], outputs) == (graph["8"], ["15"])
    assert extra_data["isengard"] == extra["isengard"]
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("success", True)
    events = [event for event, _ in entry["status"]["messages"]]
    assert events == ["execution_start", "execution_cached", "execution_success"]
    (image,) = images_of(entry)
    assert (image["filename"], image["type"]) == ("img_00001_.png", "output")


def test_a_prompt_that_runs_and_one_that_waits_are_told_apart(idle_server: Server) -> None:
    running = idle_server.submit(flux_graph(steps=LONG_STEPS))
    waiting = idle_server.submit(flux_graph(steps=LONG_STEPS))
    idle_server.wait_for_running(running)
    assert idle_server.queued_ids() == ([running], [waiting])
    assert idle_server.get("/prompt").json() == {"exec_info": {"queue_remaining": 2}}
    told = {each: idle_server.get(f"/api/jobs/{each}").json()["status"] for each in (running, waiting)}
    assert told == {running: "in_progress", waiting: "pending"}


def test_only_the_running_prompt_is_interrupted_and_its_history_says_so(idle_server: Server) -> None:
    running = idle_server.submit(flux_graph(steps=LONG_STEPS))
    idle_server.wait_for_running(running)
    assert idle_server.post("/interrupt", {"prompt_id": str(uuid.uuid4())}).status_code == 200
    assert idle_server.queued_ids()[0] == [running]

    def is_interrupted() -> object:
        idle_server.post("/interrupt", {"prompt_id": running})
        return idle_server.get(f"/history/{running}").json()

    entry = wait_until(is_interrupted, seconds=60, what="the interruption")[running]
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"
    assert idle_server.get(f"/api/jobs/{running}").json()["status"] in ("failed", "cancelled")


def test_a_prompt_that_is_deleted_while_it_waits_leaves_no_trace(idle_server: Server) -> None:
    running = idle_server.submit(flux_graph(steps=LONG_STEPS))
    waiting = idle_server.submit(flux_graph())
    idle_server.wait_for_running(running)
    answer = idle_server.post("/queue", {"delete": [waiting, running, str(uuid.uuid4())]})
    assert (answer.status_code, answer.content) == (200, b"")
    assert idle_server.queued_ids() == ([running], [])
    assert idle_server.get(f"/history/{waiting}").json() == {}


def test_an_error_names_its_node_and_keeps_what_was_saved_before(idle_server: Server) -> None:
    (idle_server.loras / "broken.safetensors").write_bytes(b"")
    entry = idle_server.run(flux_graph(lora="broken.safetensors"))
    event, details = entry["status"]["messages"][-1]
    assert (event, details["node_id"], details["node_type"]) == ("execution_error", "4", "LoraLoaderModelOnly")
    assert "SafetensorError" in details["exception_type"]
    assert details["exception_message"].endswith("\n")
    assert idle_server.run(flux_graph())["status"]["completed"]


def test_the_same_graph_again_gives_the_old_file_and_a_new_prefix_a_new_one(idle_server: Server) -> None:
    graph = flux_graph(prefix=f"{unique()}/img")
    first, again = idle_server.run(graph, client_id="me"), idle_server.run(graph, client_id="me")
    assert images_of(first) == images_of(again)
    graph["15"]["inputs"]["filename_prefix"] = f"{unique()}/img"
    assert images_of(idle_server.run(graph, client_id="me")) != images_of(first)


def test_a_prefix_that_leads_outside_fails_at_the_end(idle_server: Server) -> None:
    entry = idle_server.run(flux_graph(prefix="../outside"))
    event, details = entry["status"]["messages"][-1]
    assert (event, details["node_id"]) == ("execution_error", "15")
    assert "outside the output folder" in details["exception_message"]


def test_memory_is_freed_without_a_word_and_the_next_prompt_runs(idle_server: Server) -> None:
    answer = idle_server.post("/free", {"unload_models": True, "free_memory": True})
    assert (answer.status_code, answer.content) == (200, b"")
    assert idle_server.run(flux_graph())["status"]["completed"]


def test_two_sockets_hear_only_of_their_own_prompts(idle_server: Server) -> None:
    mine, other = uuid.uuid4().hex, uuid.uuid4().hex
    listener, witness = idle_server.listen(mine), idle_server.listen(other)
    listener.until_end(idle_server.submit(flux_graph(steps=2), client_id=mine))
    witness.until("status")
    wait_until(lambda: witness.hears_nothing(0.3), what="the end of the broadcasts")
    listener.close()
    witness.close()
    assert {event["type"] for event in witness.events()} == {"status"}


def test_many_requests_at_once_are_all_answered_while_it_samples(idle_server: Server) -> None:
    idle_server.wait_for_running(idle_server.submit(flux_graph(steps=LONG_STEPS)))
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(idle_server.get("/queue").status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
