"""Generations against a server that misbehaves: each fault is noticed, and survived where that is possible."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from generation.engines.comfyui import Limits, generate
from generation.engines.order import GivenImage, LoraFile
from jobs.errors import EngineFailed, EngineUnavailable
from jobs.events import Finished, Holding, Started
from tests.generation.comfyui_fixtures import (
    QUICK,
    StandIn,
    artifacts,
    free_port,
    is_sampling,
    log_events,
    order_for,
    prompt_id,
    read_step_by_step,
    read_until,
    run_order,
    running_stand_in,
    wait_until,
)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as stand_in:
        yield stand_in


@pytest.fixture
def server(shared_server: StandIn) -> StandIn:
    """The shared one without any fault."""
    shared_server.arm()
    return shared_server


@pytest.fixture
def mortal_server(tmp_path: Path) -> Iterator[StandIn]:
    with running_stand_in(tmp_path / "mortal") as stand_in:
        yield stand_in


def test_a_prompt_that_vanishes_is_submitted_again_under_another_id(server: StandIn, tmp_path: Path) -> None:
    server.arm("lose-prompt")
    events = run_order(order_for(server.url, tmp_path, job_id="gen-lost", count=2))
    assert {artifact.details["index"] for artifact in artifacts(events)} == {0, 1}
    holdings = [event for event in events if isinstance(event, Holding)]
    assert holdings[-1].identity["prompts"] == [
        prompt_id("gen-lost", 0),
        prompt_id("gen-lost", 0, 1),
        prompt_id("gen-lost", 1),
    ]
    assert log_events(events) == ["engine.resubmitted"]


def test_an_image_that_is_lost_again_and_again_ends_the_job(server: StandIn, tmp_path: Path) -> None:
    limits = Limits(poll_seconds=0.1, hinted_poll_seconds=0.05, absent_seconds=0.1, resubmissions=2)
    events = generate(order_for(server.url, tmp_path, job_id="gen-cursed"), limits=limits)
    for _ in range(3):
        read_until(events, lambda event: isinstance(event, Holding))
        server.arm("lose-prompt")
    with pytest.raises(EngineFailed, match="submitted 3 times") as failure:
        list(events)
    assert failure.value.is_retryable


def test_a_queue_that_is_forgotten_in_mid_job_is_filled_again(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-forgotten", count=3, steps=20), limits=QUICK)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        server.arm("lose-queue")
    began = time.monotonic()
    rest = list(events)
    assert {artifact.details["index"] for artifact in artifacts(rest)} == {0, 1, 2}
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("fault", ["deaf-sockets", "drop-sockets"])
def test_images_arrive_without_the_socket(server: StandIn, tmp_path: Path, fault: str) -> None:
    events = generate(order_for(server.url, tmp_path, job_id=f"gen-{fault}", count=2, steps=20), limits=QUICK)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        server.arm(fault)
    rest = list(events)
    assert len(artifacts(rest)) == 2
    assert isinstance(rest[-1], Finished)


def test_a_socket_that_is_silent_for_too_long_is_opened_again(server: StandIn, tmp_path: Path) -> None:
    limits = replace(QUICK, poll_seconds=0.2, silence_seconds=0.3)
    events = generate(order_for(server.url, tmp_path, job_id="gen-silent", steps=100), limits=limits)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        server.arm("deaf-sockets")
        read_step_by_step(events, server.hold, is_sampling)
        events.close()


def test_a_history_that_is_late_is_waited_for(server: StandIn, tmp_path: Path) -> None:
    server.arm("late-history:1.2")
    events = run_order(order_for(server.url, tmp_path, job_id="gen-late"))
    assert len(artifacts(events)) == 1
    assert log_events(events) == []


def test_errors_of_the_server_are_tried_again(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-500", count=2), limits=QUICK)
    read_until(events, lambda event: isinstance(event, Holding))
    server.arm("http-500:3")
    rest = list(events)
    assert len(artifacts(rest)) == 2
    assert {"engine.away", "engine.back"} <= set(log_events(rest))


def test_an_output_file_that_is_gone_is_made_again_under_another_name(server: StandIn, tmp_path: Path) -> None:
    server.arm("no-output-file")
    events = run_order(order_for(server.url, tmp_path, job_id="gen-nofile"))
    assert len(artifacts(events)) == 1
    assert log_events(events) == ["engine.resubmitted"]


def test_a_failing_node_is_named(server: StandIn, tmp_path: Path) -> None:
    server.arm("error")
    with pytest.raises(EngineFailed, match=r"ComfyUI failed in \w+: The stand-in was asked to fail") as failure:
        run_order(order_for(server.url, tmp_path, job_id="gen-error", count=3))
    assert not failure.value.is_retryable
    assert server.queued_ids() == set()


def test_a_full_gpu_is_freed_and_tried_once_more(server: StandIn, tmp_path: Path) -> None:
    """It stays full until the server was asked to unload its models."""
    server.arm("full-gpu")
    running = generate(order_for(server.url, tmp_path, job_id="gen-oom", count=2), limits=QUICK)
    events = read_until(running, lambda event: "engine.memory_freed" in log_events([event]))
    events += read_until(running, lambda event: isinstance(event, Holding))
    # A server that is handed a prompt before it has freed its memory may begin with that.
    wait_until(lambda: server.armed() == [], "the memory is freed")
    events += running
    assert {artifact.details["index"] for artifact in artifacts(events)} == {0, 1}


def test_a_gpu_that_is_full_twice_ends_the_job(server: StandIn, tmp_path: Path) -> None:
    server.arm("oom")
    events = generate(order_for(server.url, tmp_path, job_id="gen-oom2"), limits=QUICK)
    read_until(events, lambda event: "ran out of memory" in str(getattr(event, "message", "")))
    server.arm("oom")
    with pytest.raises(EngineFailed, match="Ask for a smaller image"):
        list(events)


def test_a_damaged_lora_is_told_in_a_sentence(server: StandIn, tmp_path: Path) -> None:
    (server.loras / "broken.safetensors").write_bytes(b"not safetensors at all")
    order = order_for(
        server.url, tmp_path, job_id="gen-lora", loras=(LoraFile(name="broken.safetensors", strength=1.0),)
    )
    with pytest.raises(EngineFailed, match="could not load the LoRA file"):
        run_order(order)


def test_a_lora_that_the_server_cannot_see_ends_the_job_before_it_starts(server: StandIn, tmp_path: Path) -> None:
    order = order_for(
        server.url, tmp_path, job_id="gen-unseen", loras=(LoraFile(name="char-9/v1.safetensors", strength=1.0),)
    )
    with pytest.raises(EngineFailed, match="not visible to the ComfyUI server"):
        run_order(order)


def test_a_server_that_is_killed_and_started_again_gets_the_work_again(mortal_server: StandIn, tmp_path: Path) -> None:
    order = order_for(mortal_server.url, tmp_path, job_id="gen-phoenix", count=2, steps=30)
    events = generate(order, limits=QUICK)
    with mortal_server.hold.after_steps(1):
        read_until(events, is_sampling)
        mortal_server.kill()
    read_until(events, lambda event: "engine.away" in log_events([event]))
    mortal_server.start()
    rest = list(events)
    assert {artifact.details["index"] for artifact in artifacts(rest)} == {0, 1}
    assert {"engine.back", "engine.resubmitted"} <= set(log_events(rest))


def test_a_server_that_crashes_and_stays_away_gives_the_job_back(mortal_server: StandIn, tmp_path: Path) -> None:
    mortal_server.arm("crash")
    limits = replace(QUICK, poll_seconds=0.2, away_seconds=0.8, refused_seconds=300)
    began = time.monotonic()
    with pytest.raises(EngineUnavailable, match="is not running"):
        run_order(order_for(mortal_server.url, tmp_path, job_id="gen-crash"), limits)
    assert time.monotonic() - began < 60


def test_a_job_waits_for_a_server_that_starts_late_and_is_submitted_once(tmp_path: Path) -> None:
    server = StandIn(tmp_path / "late")
    events = generate(order_for(server.url, tmp_path, job_id="gen-early"), limits=replace(QUICK, connect_seconds=0.1))
    away = read_until(events, lambda event: "engine.away" in log_events([event]))
    server.start()
    try:
        rest = list(events)
    finally:
        server.kill()
    assert Started() not in away
    assert len(artifacts(rest)) == 1
    assert log_events(rest) == ["engine.back"]


def test_a_server_that_never_ran_gives_the_job_back_unstarted(tmp_path: Path) -> None:
    order = order_for(f"http://127.0.0.1:{free_port()}", tmp_path)
    with pytest.raises(EngineUnavailable):
        run_order(order, Limits(poll_seconds=0.1, connect_seconds=0.1, away_seconds=0.3))


def test_a_given_image_that_the_server_lost_too_is_uploaded_again(mortal_server: StandIn, tmp_path: Path) -> None:
    picture = tmp_path / "input-1.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    asked = order_for(mortal_server.url, tmp_path, job_id="gen-reload", steps=40, init_image=picture.name, denoise=0.5)
    events = generate(replace(asked, images={"init_image": GivenImage(name=picture.name, path=picture)}), limits=QUICK)
    with mortal_server.hold.after_steps(1):
        read_until(events, is_sampling)
        mortal_server.forget_uploads()
        mortal_server.arm("lose-queue")
    assert len(artifacts(events)) == 1
