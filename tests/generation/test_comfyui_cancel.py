"""Stopping a generation: what is left on the server, and when."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from generation.engines.comfyui import Limits, generate, stop_leftover
from jobs.errors import EngineFailed
from jobs.events import Artifact, Event, Holding, Tick
from tests.generation.comfyui_fixtures import (
    DEADLINE_SECONDS,
    QUICK,
    StandIn,
    free_port,
    is_sampling,
    order_for,
    prompt_id,
    read_until,
    running_stand_in,
    wait_until,
)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as stand_in:
        yield stand_in


@pytest.fixture
def server(shared_server: StandIn) -> StandIn:
    shared_server.arm()
    return shared_server


def _is_submitted(event: Event) -> bool:
    return isinstance(event, Holding)


def test_a_cancel_while_sampling_leaves_no_prompt(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-stop", count=4), limits=QUICK)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        assert server.queued_ids() == {prompt_id("gen-stop", index) for index in range(4)}
        began = time.monotonic()
        events.close()
        assert time.monotonic() - began < 30
        assert server.queued_ids() == set()


def test_a_cancel_right_after_the_submission_leaves_no_prompt(server: StandIn, tmp_path: Path) -> None:
    for attempt in range(5):
        order = order_for(server.url, tmp_path, job_id=f"gen-hasty-{attempt}", count=2, steps=100)
        events = generate(order, limits=QUICK)
        read_until(events, _is_submitted)
        next(events)
        events.close()
        assert server.queued_ids() == set()


def test_a_cancel_during_a_submission_that_is_not_answered_yet_leaves_no_prompt(
    server: StandIn, tmp_path: Path
) -> None:
    server.arm("late-reply:0.8")
    events = generate(order_for(server.url, tmp_path, job_id="gen-midway", count=2, steps=100), limits=QUICK)
    read_until(events, _is_submitted)
    assert isinstance(next(events), Tick)
    events.close()
    assert server.queued_ids() == set()


def test_a_cancelled_generation_leaves_no_thread_behind(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-threads", steps=100), limits=QUICK)
    read_until(events, is_sampling)
    assert _own_threads()
    events.close()
    # The one of the socket is not waited for if it takes its time.
    wait_until(lambda: not _own_threads(), "its threads have ended")


def _own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("comfyui")]


def test_a_cancel_of_a_waiting_job_leaves_the_running_one_alone(server: StandIn, tmp_path: Path) -> None:
    ahead = generate(order_for(server.url, tmp_path / "a", job_id="gen-ahead"), limits=QUICK)
    behind = generate(order_for(server.url, tmp_path / "b", job_id="gen-behind"), limits=QUICK)
    with server.hold.after_steps(1):
        read_until(ahead, is_sampling)
        read_until(behind, _is_submitted)
        read_until(behind, lambda _: prompt_id("gen-behind", 0) in server.queued_ids())
        behind.close()
        assert server.queued_ids() == {prompt_id("gen-ahead", 0)}
    assert any(isinstance(event, Artifact) for event in ahead)


def test_a_cancel_waits_for_a_decode_that_cannot_be_interrupted(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-decode"), limits=QUICK)
    ending = threading.Thread(target=events.close)
    with server.hold.before("decode"):
        read_until(events, lambda event: "decoding" in str(getattr(event, "message", "")))
        before = server.hold.interruptions
        ending.start()
        wait_until(lambda: server.hold.interruptions >= before + 3, "it is asked again and again")
        assert ending.is_alive()
    ending.join(DEADLINE_SECONDS)
    assert not ending.is_alive()
    assert server.queued_ids() == set()


def test_a_cancel_gives_up_a_node_that_never_ends(server: StandIn, tmp_path: Path) -> None:
    events = generate(
        order_for(server.url, tmp_path, job_id="gen-stubborn"), limits=replace(QUICK, release_seconds=0.3)
    )
    with server.hold.before("decode"):
        read_until(events, lambda event: "decoding" in str(getattr(event, "message", "")))
        began = time.monotonic()
        events.close()
        assert time.monotonic() - began < 30
        assert server.queued_ids() == {prompt_id("gen-stubborn", 0)}
    wait_until(lambda: server.queued_ids() == set(), "the decode ends by itself")


def test_a_cancel_of_a_hanging_sampler_succeeds(server: StandIn, tmp_path: Path) -> None:
    server.arm("hang")
    events = generate(order_for(server.url, tmp_path, job_id="gen-hang"), limits=QUICK)
    read_until(events, lambda _: prompt_id("gen-hang", 0) in server.running_ids())
    events.close()
    assert server.queued_ids() == set()


def test_a_sampler_that_hangs_for_long_ends_the_job(server: StandIn, tmp_path: Path) -> None:
    server.arm("hang")
    limits = Limits(poll_seconds=0.3, stall_seconds=0.8)
    with pytest.raises(EngineFailed, match="no progress") as failure:
        list(generate(order_for(server.url, tmp_path, job_id="gen-stall"), limits=limits))
    assert failure.value.is_retryable
    assert server.queued_ids() == set()


def test_an_interrupt_by_somebody_else_is_told(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-victim", count=2), limits=QUICK)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        requests.post(f"{server.url}/interrupt", timeout=DEADLINE_SECONDS)
    with pytest.raises(EngineFailed, match="Somebody interrupted"):
        list(events)
    assert server.queued_ids() == set()


def test_leftovers_of_a_dead_worker_are_taken_back(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-orphan", count=3), limits=QUICK)
    holding = read_until(events, _is_submitted)[-1]
    assert isinstance(holding, Holding)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        assert stop_leftover(holding.identity)
        assert server.queued_ids() == set()
        events.close()


def test_nothing_is_left_on_a_server_that_never_had_the_prompts(server: StandIn) -> None:
    assert stop_leftover({"server": server.url, "prompts": [prompt_id("gen-nobody", 0)]})


def test_nothing_is_left_on_a_server_that_does_not_run() -> None:
    assert stop_leftover({"server": f"http://127.0.0.1:{free_port()}", "prompts": [prompt_id("gen-gone", 0)]})


def test_a_server_that_does_not_answer_may_hold_leftovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.engines.comfyui.withdrawal.LEFTOVER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as closing_server:
        port = closing_server.getsockname()[1]

        def hang_up() -> None:
            while True:
                try:
                    closing_server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        assert not stop_leftover({"server": f"http://127.0.0.1:{port}", "prompts": [prompt_id("gen-x", 0)]})
        closing_server.shutdown(socket.SHUT_RDWR)


def test_an_identity_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError):
        stop_leftover({"server": "http://127.0.0.1:1", "prompts": "gen-x"})
