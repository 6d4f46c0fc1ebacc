"""Sockets that break, go deaf or hang in a dead network: progress comes back, and images come anyway."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from generation.engines.comfyui import generate
from generation.engines.comfyui.answers import QueueView
from generation.engines.comfyui.hearing import Hearing
from jobs.events import Event, Finished, Progress
from tests.generation.comfyui_fixtures import (
    QUICK,
    StandIn,
    artifacts,
    is_sampling,
    log_events,
    order_for,
    read_step_by_step,
    read_until,
    running_stand_in,
)
from tests.generation.network_fixtures import proxy_to

NOTHING = QueueView(frozenset(), frozenset())
ONE = QueueView(frozenset({"a"}), frozenset())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as stand_in:
        yield stand_in


def _steps(events: list[Event]) -> list[int]:
    return [event.step or 0 for event in events if isinstance(event, Progress) and "step" in (event.message or "")]


@pytest.mark.parametrize("fault", ["drop-sockets", "deaf-sockets"])
def test_steps_of_prompts_that_were_already_queued_are_heard_again(server: StandIn, tmp_path: Path, fault: str) -> None:
    order = order_for(server.url, tmp_path, job_id=f"gen-again-{fault}", count=3, steps=60)
    events = generate(order, limits=QUICK)
    with server.hold.after_steps(1):
        read_until(events, is_sampling)
        server.arm(fault)
        lost_at = time.monotonic()
        # Long enough for a change of the queue that is not told to be noticed.
        rest = read_until(events, lambda _: time.monotonic() - lost_at > 1.0)
        server.hold.go_on_to(121)
        # 120 and more belong to the last image, which was queued under the connection that was lost.
        rest += read_step_by_step(events, server.hold, lambda event: _steps([event]) > [120])
    rest += events
    assert len(artifacts(rest)) == 3
    assert len([step for step in _steps(rest) if 120 < step < 180]) > 10
    assert log_events(rest) == []


LIMITS = replace(QUICK, read_seconds=0.5, silence_seconds=1.5)


def test_a_socket_that_hangs_in_a_dead_network_is_replaced(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.engines.comfyui.client.PREVIEW_METHOD", "none")
    with proxy_to(server.port) as proxy:
        order = order_for(proxy.url, tmp_path, job_id="gen-half-open", count=8, steps=100)
        events = generate(order, limits=LIMITS)
        with server.hold.after_steps(1):
            read_until(events, is_sampling)
            before = proxy.connections
            proxy.freeze()
            # One for calls and one for the socket; then what comes is heard through the new one.
            read_until(events, lambda _: proxy.connections >= before + 2)
            read_step_by_step(events, server.hold, is_sampling)
            events.close()
    assert server.queued_ids() == set()


def test_images_arrive_also_when_a_dead_connection_makes_the_server_mute(tmp_path: Path) -> None:
    """ComfyUI sends to all sockets in turn: one that nobody reads, full of previews, holds up the others."""
    with running_stand_in(tmp_path / "comfyui") as server, proxy_to(server.port) as proxy:
        order = order_for(proxy.url, tmp_path, job_id="gen-mute", count=2, steps=60)
        events = generate(order, limits=LIMITS)
        with server.hold.after_steps(1):
            read_until(events, is_sampling)
            proxy.freeze()
        rest = list(events)
    assert len(artifacts(rest)) == 2
    assert isinstance(rest[-1], Finished)


def test_a_quiet_socket_is_not_deaf() -> None:
    hearing = Hearing()
    assert not any(hearing.is_deaf(NOTHING, looked_at=float(second), last_heard=0.0) for second in range(1, 60))


def test_a_change_that_was_told_late_is_no_proof() -> None:
    hearing = Hearing()
    hearing.is_deaf(NOTHING, looked_at=10.0, last_heard=0.0)
    assert not hearing.is_deaf(ONE, looked_at=11.0, last_heard=0.0)
    assert not hearing.is_deaf(ONE, looked_at=12.0, last_heard=11.2)
    assert not hearing.is_deaf(ONE, looked_at=13.0, last_heard=11.2)


def test_a_change_that_is_never_told_is_a_proof_once() -> None:
    hearing = Hearing()
    hearing.is_deaf(NOTHING, looked_at=10.0, last_heard=0.0)
    assert not hearing.is_deaf(ONE, looked_at=11.0, last_heard=0.0)
    assert hearing.is_deaf(ONE, looked_at=12.0, last_heard=0.0)
    assert not hearing.is_deaf(ONE, looked_at=13.0, last_heard=0.0)
