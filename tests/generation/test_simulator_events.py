"""What the stand-in sends to sockets while it runs prompts."""

import struct
import threading
import time
from itertools import pairwise

import pytest

from tests.generation.simulator_process import (
    Listener,
    Simulator,
    StartSimulator,
    copy_graph,
    flux_graph,
    is_event,
    png_bytes,
)

pytest_plugins = ("tests.generation.simulator_fixtures",)

CLIENT = "the-owner"


@pytest.fixture
def owner(simulator: Simulator) -> Listener:
    return simulator.listen(CLIENT)


def run_to_end(simulator: Simulator, owner: Listener, **more: object) -> str:
    prompt_id = simulator.submit(flux_graph(steps=3), client_id=CLIENT, **more)
    owner.until_end(prompt_id)
    return prompt_id


def test_a_success_is_told_in_the_documented_order(simulator: Simulator, owner: Listener) -> None:
    run_to_end(simulator, owner)
    names = [message["type"] for message in owner.events()]
    assert names[1:5] == ["status", "status", "execution_start", "execution_cached"]
    assert names[-3:] == ["execution_success", "status", "executing"]
    assert names[-4] == "progress_state"
    assert set(names[5:-3]) == {"progress_state", "executing", "progress", "executed"}


def test_each_node_is_announced_after_its_progress_state_and_finished_before_the_next(
    simulator: Simulator, owner: Listener
) -> None:
    run_to_end(simulator, owner)
    for before, message in pairwise(owner.events()):
        if is_event(message, "executing") and message["data"]["node"] is not None:
            states = {node_id: node["state"] for node_id, node in before["data"]["nodes"].items()}
            assert states.pop(message["data"]["node"]) == "running"
            assert set(states.values()) <= {"finished"}


def test_every_sampler_step_is_told_twice(simulator: Simulator, owner: Listener) -> None:
    prompt_id = run_to_end(simulator, owner)
    told = [message["data"] for message in owner.events("progress")]
    assert told == [{"value": step, "max": 3, "prompt_id": prompt_id, "node": "13"} for step in (1, 2, 3)]
    for before, message in pairwise(owner.events()):
        if is_event(message, "progress"):
            assert before["data"]["nodes"]["13"]["value"] == message["data"]["value"]


def test_executed_carries_the_saved_image(simulator: Simulator, owner: Listener) -> None:
    prompt_id = run_to_end(simulator, owner)
    (executed,) = owner.events("executed")
    assert executed["data"]["output"] == simulator.entry(prompt_id)["outputs"]["15"]


def test_the_history_is_there_when_the_last_message_comes(simulator: Simulator, owner: Listener) -> None:
    prompt_id = run_to_end(simulator, owner)
    assert prompt_id in simulator.get(f"/history/{prompt_id}").json()


def test_the_history_is_not_yet_there_at_execution_success(simulator: Simulator, owner: Listener) -> None:
    with simulator.hold.before("history"):
        prompt_id = simulator.submit(flux_graph(), client_id=CLIENT)
        owner.until("execution_success", prompt_id=prompt_id)
        assert simulator.get(f"/history/{prompt_id}").json() == {}
        assert simulator.queued_ids()[0] == [prompt_id]
    owner.until_end(prompt_id)
    assert prompt_id in simulator.get(f"/history/{prompt_id}").json()


def test_messages_can_come_before_the_answer_to_the_request(simulator: Simulator, owner: Listener) -> None:
    answered: list[str] = []

    def submit() -> None:
        answered.append(simulator.submit(flux_graph(), client_id=CLIENT, prompt_id="chosen-beforehand"))

    requesting = threading.Thread(target=submit)
    with simulator.hold.before("reply"):
        requesting.start()
        assert [is_event(owner.receive(), "status") for _ in range(2)] == [True, True]
        assert is_event(owner.receive(), "execution_start", prompt_id="chosen-beforehand")
        assert answered == []
    requesting.join()
    assert answered == ["chosen-beforehand"]


def test_the_answer_to_the_request_can_be_late(simulator: Simulator) -> None:
    simulator.arm("late-reply:0.3")
    began = time.monotonic()
    simulator.submit(flux_graph())
    assert time.monotonic() - began > 0.3


def test_others_learn_only_how_long_the_queue_is(simulator: Simulator, owner: Listener) -> None:
    other = simulator.listen("somebody-else")
    run_to_end(simulator, owner)
    for _ in range(3):
        other.receive()
    assert other.hears_nothing(0.1)
    assert [message["type"] for message in other.messages] == ["status"] * 4


def test_a_prompt_without_a_client_shows_its_progress_to_everybody(simulator: Simulator) -> None:
    witness = simulator.listen("anybody")
    simulator.submit(flux_graph(), extra_data={"preview_method": "latent2rgb"})
    witness.until("progress", value=2)
    witness.until("status", status={"exec_info": {"queue_remaining": 0}})
    assert witness.hears_nothing(0.1)
    assert {message["type"] for message in witness.events()} == {"status", "progress_state", "progress"}
    assert len(witness.previews()) == 2


def test_the_client_may_be_named_in_extra_data(simulator: Simulator, owner: Listener) -> None:
    prompt_id = simulator.submit(flux_graph(), extra_data={"client_id": CLIENT})
    owner.until("execution_success", prompt_id=prompt_id)


def test_an_error_is_told_with_node_and_type_and_then_the_end(simulator: Simulator, owner: Listener) -> None:
    simulator.post("/upload/image", files={"image": ("broken.png", b"not a picture")})
    prompt_id = simulator.submit(copy_graph("broken.png"), client_id=CLIENT)
    error = owner.until("execution_error", prompt_id=prompt_id)["data"]
    assert (error["node_id"], error["node_type"]) == ("1", "LoadImage")
    assert error["exception_type"] == "PIL.UnidentifiedImageError"
    assert error["exception_message"].endswith("\n")
    assert error["current_inputs"] == {"image": ["broken.png"]}
    owner.until_end(prompt_id)


def test_no_previews_come_unless_asked_for(simulator: Simulator, owner: Listener) -> None:
    run_to_end(simulator, owner)
    assert owner.previews() == []


def test_a_preview_is_a_jpeg_after_each_progress(simulator: Simulator, owner: Listener) -> None:
    run_to_end(simulator, owner, extra_data={"preview_method": "auto"})
    previews = owner.previews()
    assert len(previews) == 3
    assert all(struct.unpack(">II", preview[:8]) == (1, 1) for preview in previews)
    assert all(preview[8:11] == b"\xff\xd8\xff" for preview in previews)
    places = [place for place, message in enumerate(owner.messages) if isinstance(message, bytes)]
    assert all(is_event(owner.messages[place - 1], "progress") for place in places)


def test_a_client_that_knows_metadata_gets_it_before_each_progress(simulator: Simulator, owner: Listener) -> None:
    owner.send({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
    assert owner.until("feature_flags")["data"] == simulator.get("/features").json()
    prompt_id = run_to_end(simulator, owner, extra_data={"preview_method": "auto"})
    preview = owner.previews()[0]
    event, length = struct.unpack(">II", preview[:8])
    assert event == 4
    assert f'"prompt_id": "{prompt_id}"'.encode() in preview[8 : 8 + length]
    assert preview[8 + length :].startswith(b"\xff\xd8\xff")
    assert is_event(owner.messages[owner.messages.index(preview) + 1], "progress", value=1)


def test_the_server_can_send_previews_to_all(start_simulator: StartSimulator) -> None:
    simulator = start_simulator("--preview-method", "latent2rgb")
    owner = simulator.listen(CLIENT)
    run_to_end(simulator, owner)
    run_to_end(simulator, owner, extra_data={"preview_method": "none"})
    assert len(owner.previews()) == 3


def test_a_picture_given_by_preview_image_is_shown_too(simulator: Simulator, owner: Listener) -> None:
    simulator.post("/upload/image", files={"image": ("shown.png", png_bytes())})
    graph = copy_graph("shown.png")
    graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    owner_prompt = simulator.submit(graph, client_id=CLIENT)
    (image,) = owner.until("executed", prompt_id=owner_prompt)["data"]["output"]["images"]
    assert image["type"] == "temp"
    assert simulator.view(image).status_code == 200
