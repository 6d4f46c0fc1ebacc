"""Whole generations against a ComfyUI-compatible server that behaves."""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image

from generation.engines.comfyui import generate
from jobs.events import Artifact, Event, Finished, Holding, Preview, Progress, Started, Tick
from tests.generation.comfyui_fixtures import (
    QUICK,
    StandIn,
    artifacts,
    is_sampling,
    order_for,
    prompt_id,
    read_until,
    run_order,
    running_stand_in,
    wait_until,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as stand_in:
        yield stand_in


def _kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


def test_every_image_is_made_and_checked(server: StandIn, tmp_path: Path) -> None:
    events = run_order(order_for(server.url, tmp_path, job_id="gen-two", count=2, seed=41, width=520))
    made = artifacts(events)
    assert [(artifact.type, artifact.name) for artifact in made] == [("output", f"gen-two-{n}.png") for n in (0, 1)]
    times = [server.timestamps(prompt_id("gen-two", n)) for n in (0, 1)]
    assert [artifact.details for artifact in made] == [
        {
            "index": n,
            "seed": 41 + n,
            "width": 520,
            "height": 512,
            "seconds": (times[n]["execution_success"] - times[n]["execution_start"]) / 1000,
        }
        for n in (0, 1)
    ]
    assert all(artifact.details["seconds"] > 0 for artifact in made)
    for artifact in made:
        with Image.open(artifact.path) as image:
            assert image.size == (520, 512)
    assert isinstance(events[-1], Finished)
    assert not list(tmp_path.glob("*.part"))


def test_the_images_of_one_job_differ_and_one_can_be_made_again_alone(server: StandIn, tmp_path: Path) -> None:
    pair = artifacts(run_order(order_for(server.url, tmp_path, job_id="gen-pair", count=2, seed=5)))
    alone = artifacts(run_order(order_for(server.url, tmp_path, job_id="gen-alone", seed=6)))
    pixels = [Image.open(artifact.path).tobytes() for artifact in pair + alone]
    assert pixels[0] != pixels[1]
    assert pixels[1] == pixels[2]


def test_the_prompts_are_told_before_the_server_has_them(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-told", count=2), limits=QUICK)
    holding = read_until(events, lambda event: isinstance(event, Holding))[-1]
    assert holding == Holding(
        identity={"server": server.url, "prompts": [prompt_id("gen-told", 0), prompt_id("gen-told", 1)]}
    )
    assert server.queued_ids() == set()
    events.close()


def test_the_graphs_are_told_as_the_server_gets_them(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-config", count=2, seed=7), limits=QUICK)
    config = read_until(events, lambda event: isinstance(event, Artifact))[-1]
    assert (config.type, config.name) == ("config", "engine_config.json")
    graphs = json.loads(config.path.read_text())
    list(events)
    assert graphs == {f"gen-config-a1-{n}": server.graph(prompt_id("gen-config", n)) for n in (0, 1)}


def test_a_prompt_is_known_by_a_uuid_and_says_whose_it_is(server: StandIn, tmp_path: Path) -> None:
    """Newer servers refuse any other id; the mark is what people see in the server's own queue."""
    events = generate(order_for(server.url, tmp_path, job_id="gen-marked"), limits=QUICK)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        (item,) = server.running()
        assert str(UUID(item[1])) == item[1]
        assert item[3]["isengard"] == {"job": "gen-marked", "attempt": 1, "image": 0}
        events.close()


def test_a_job_waits_then_starts_once_then_counts_steps_over_all_images(server: StandIn, tmp_path: Path) -> None:
    order = order_for(server.url, tmp_path, job_id="gen-steps", count=2, prompt="a new model load")
    running = generate(order, limits=QUICK)
    with server.hold.after_steps(8):
        events = read_until(running, lambda event: getattr(event, "message", "") == "Image 2/2: step 4/4")
    events += running
    assert _kinds(events).count(Started) == 1
    progress = [event for event in events if isinstance(event, Progress)]
    assert (progress[0].stage, progress[0].message) == ("queued", "Waiting for the GPU")
    assert {event.total for event in progress} == {8}
    steps = [event.step or 0 for event in progress]
    assert steps == sorted(steps)
    assert steps[-1] == 8
    before_start = events[: events.index(Started())]
    assert {event.stage for event in before_start if isinstance(event, Progress)} == {"queued"}


def test_the_speed_of_sampling_is_told(server: StandIn, tmp_path: Path) -> None:
    events = generate(order_for(server.url, tmp_path, job_id="gen-speed", steps=10), limits=QUICK)
    began = time.monotonic()
    # It counts from the first step on, so that this one has to be heard before the others are made.
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        server.hold.go_on_to(10)
        told = read_until(events, lambda event: isinstance(event, Progress) and event.step == 10)
        seconds = time.monotonic() - began
    list(events)
    speeds = [event.iteration_speed for event in told if isinstance(event, Progress) and event.iteration_speed]
    assert 9 / seconds < speeds[-1] < 70, "a step of the stand-in takes 20 ms at least"


def test_previews_are_small_pictures_at_most_every_so_often(server: StandIn, tmp_path: Path) -> None:
    running = generate(
        order_for(server.url, tmp_path, job_id="gen-preview", steps=40), limits=replace(QUICK, preview_seconds=0.3)
    )
    began = time.monotonic()
    with server.hold.after_steps(1):
        events = read_until(running, lambda event: isinstance(event, Preview))
    events += running
    previews = [event for event in events if isinstance(event, Preview)]
    assert len(previews) <= (time.monotonic() - began) / 0.3 + 1
    assert all(event.content_type == "image/jpeg" and event.image[:2] == b"\xff\xd8" for event in previews)


def test_only_missing_images_are_made(server: StandIn, tmp_path: Path) -> None:
    events = run_order(order_for(server.url, tmp_path, job_id="gen-resumed", count=3, done={0, 2}, seed=20))
    assert [artifact.details["seed"] for artifact in artifacts(events)] == [21]
    progress = [event for event in events if isinstance(event, Progress)]
    assert (progress[0].step, progress[-1].step, progress[-1].total) == (8, 12, 12)
    assert isinstance(events[-1], Finished)


def test_nothing_is_asked_of_the_server_when_all_images_exist(tmp_path: Path) -> None:
    events = run_order(order_for("http://127.0.0.1:1", tmp_path, count=2, done={0, 1}))
    assert events == [Started(), Finished()]


def test_the_second_generation_starts_when_the_first_has_ended_and_the_gpu_does_not_wait(
    server: StandIn, tmp_path: Path
) -> None:
    starts: dict[str, float] = {}

    def run(job_id: str) -> None:
        order = order_for(server.url, tmp_path / job_id, job_id=job_id, count=2, steps=20)
        for event in generate(order, limits=QUICK):
            if isinstance(event, Started):
                starts[job_id] = time.time() * 1000

    first, second = (threading.Thread(target=run, args=(job_id,)) for job_id in ("gen-first", "gen-second"))
    with server.hold.after_steps(1):
        first.start()
        wait_until(lambda: server.queued_ids() >= _prompts_of("gen-first"), "the first one is queued")
        second.start()
        # What waits there already begins without a word of ours.
        wait_until(lambda: server.queued_ids() >= _prompts_of("gen-second"), "the second one is queued")
        assert server.running_ids() == {prompt_id("gen-first", 0)}
    first.join()
    second.join()
    first_end = server.timestamps(prompt_id("gen-first", 1))["execution_success"]
    assert starts["gen-second"] >= first_end
    assert server.timestamps(prompt_id("gen-second", 0))["execution_start"] >= first_end


def _prompts_of(job_id: str) -> set[str]:
    return {prompt_id(job_id, index) for index in (0, 1)}


def test_a_long_wait_is_full_of_ticks(server: StandIn, tmp_path: Path) -> None:
    blocker = generate(order_for(server.url, tmp_path / "a", job_id="gen-block"), limits=QUICK)
    waiting = generate(order_for(server.url, tmp_path / "b", job_id="gen-wait"), limits=QUICK)
    times = [time.monotonic()]

    def is_noted(_: Event) -> bool:
        times.append(time.monotonic())
        return len(times) > 20

    with server.hold.after_steps(1):
        read_until(blocker, is_sampling)
        events = read_until(waiting, is_noted)
        waiting.close()
        blocker.close()
    assert all(isinstance(event, Tick | Progress | Holding | Artifact) for event in events)
    # Of most: no machine is always there at once.
    assert statistics.median(later - earlier for earlier, later in pairwise(times)) < 0.5


def test_a_drain_lets_a_job_end_that_is_at_work(server: StandIn, tmp_path: Path) -> None:
    order = order_for(server.url, tmp_path, job_id="gen-drain", count=3, steps=20)
    events = generate(order, limits=QUICK)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        order.controls.ask_to_drain()
    rest = list(events)
    assert [artifact.details["index"] for artifact in artifacts(rest)] == [0, 1, 2]
    assert _kinds(rest)[-1] is Finished


def test_a_drain_keeps_what_was_made_within_its_limit_and_waits_no_longer(server: StandIn, tmp_path: Path) -> None:
    order = order_for(server.url, tmp_path, job_id="gen-hurry", count=40)
    events = generate(order, limits=replace(QUICK, drain_seconds=1.5))
    # In the middle of the third one.
    with server.hold.after_steps(10):
        read_until(events, lambda event: isinstance(event, Artifact) and event.type == "output")
        wait_until(lambda: server.running_ids() == {prompt_id("gen-hurry", 2)}, "the third one is made")
        order.controls.ask_to_drain()
        began = time.monotonic()
        rest = list(events)
        assert 1.5 <= time.monotonic() - began < 30
        assert server.queued_ids() == set()
    assert [artifact.details["index"] for artifact in artifacts(rest)] in ([], [1])
    assert Finished not in _kinds(rest)


def test_a_drain_does_not_wait_for_images_that_the_server_has_lost(server: StandIn, tmp_path: Path) -> None:
    order = order_for(server.url, tmp_path, job_id="gen-gone", count=2, steps=30)
    events = generate(order, limits=replace(QUICK, drain_seconds=120))
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        order.controls.ask_to_drain()
        for _ in range(3):
            read_until(events, lambda event: isinstance(event, Tick))
        server.delete(prompt_id("gen-gone", 1))
    began = time.monotonic()
    rest = list(events)
    assert time.monotonic() - began < 60
    assert [artifact.details["index"] for artifact in artifacts(rest)] == [0]
    assert Finished not in _kinds(rest)


def test_a_job_that_still_waits_is_given_back_at_once_by_a_drain(server: StandIn, tmp_path: Path) -> None:
    blocker = generate(order_for(server.url, tmp_path / "a", job_id="gen-ahead"), limits=QUICK)
    order = order_for(server.url, tmp_path / "b", job_id="gen-behind")
    waiting = generate(order, limits=QUICK)
    with server.hold.after_steps(1):
        read_until(blocker, is_sampling)
        read_until(waiting, lambda event: isinstance(event, Holding))
        read_until(waiting, lambda event: isinstance(event, Tick))
        order.controls.ask_to_drain()
        assert Started not in _kinds(list(waiting))
        assert server.queued_ids() == {prompt_id("gen-ahead", 0)}
        blocker.close()
