"""A server gives its GPU's memory back to whoever has the GPU next; none that cannot holds anybody up."""

import socket
import time

import pytest

from generation.engines.comfyui import free_gpu
from jobs.events import Event, Log
from tests.generation.network_fixtures import ScriptedServer
from tests.generation.simulator_process import DEADLINE_SECONDS, Simulator, flux_graph, wait_for
from tests.stack import free_port

pytest_plugins = ["tests.generation.simulator_fixtures"]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on a busy machine may take longer for an answer than a GPU is worth waiting for."""
    monkeypatch.setattr("generation.engines.comfyui.freeing.READ_SECONDS", float(DEADLINE_SECONDS))


class Clock:
    """Goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def logged(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.level, event.message) for event in events if isinstance(event, Log)]


def held_bytes(server: Simulator) -> int:
    held: int = server.get("/system_stats").json()["devices"][0]["torch_vram_total"]
    return held


@pytest.mark.usefixtures("patient")
def test_a_loaded_model_is_unloaded_and_what_that_gave_is_told(simulator: Simulator) -> None:
    simulator.run(flux_graph())
    assert held_bytes(simulator) > 0
    ((level, message),) = logged(list(free_gpu(simulator.url, seconds=DEADLINE_SECONDS)))
    assert (level, message.endswith("gave back 12.0 GiB of the GPU's memory.")) == ("INFO", True)
    assert held_bytes(simulator) == 0


@pytest.mark.usefixtures("patient")
def test_a_server_without_a_model_is_not_talked_about(simulator: Simulator) -> None:
    list(free_gpu(simulator.url, seconds=DEADLINE_SECONDS))
    assert logged(list(free_gpu(simulator.url))) == []


@pytest.mark.usefixtures("patient")
def test_a_server_at_work_for_somebody_else_is_waited_for_but_not_for_long(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.start_endless()
    wait_for(lambda: held_bytes(simulator), "the model is loaded")
    clock = Clock()
    monkeypatch.setattr("generation.engines.comfyui.freeing.time", clock)
    events = list(free_gpu(simulator.url, seconds=0.5))
    assert 0.4 < clock.now < 0.7
    ((level, message),) = logged(events)
    assert (level, "still holds 12.0 GiB" in message) == ("WARNING", True)
    # Signs of life meanwhile, so that the run can be cancelled.
    assert len(events) > 2


def test_a_server_that_is_down_holds_nothing(simulator: Simulator) -> None:
    assert list(free_gpu(f"http://127.0.0.1:{free_port()}")) == []


def test_a_server_that_never_answers_is_given_up_within_seconds() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(8)
        began = time.monotonic()
        ((level, _),) = logged(list(free_gpu(f"http://127.0.0.1:{deaf.getsockname()[1]}")))
    assert level == "WARNING"
    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("stats", [(500, "broken"), (200, {"devices": [{"type": "cpu", "torch_vram_total": 2**36}]})])
def test_it_is_asked_also_where_it_does_not_say_what_it_holds(stats: tuple) -> None:
    server = ScriptedServer({"GET /system_stats": stats, "POST /free": (200, "")})
    with server.running():
        assert logged(list(free_gpu(server.url, seconds=0.5))) == []
    assert ("POST /free", {"unload_models": True, "free_memory": True}) in server.asked


@pytest.mark.usefixtures("patient")
def test_a_server_that_refuses_to_free_is_a_line_in_the_log() -> None:
    server = ScriptedServer({"GET /system_stats": (200, {}), "POST /free": (500, "broken")})
    with server.running():
        ((level, message),) = logged(list(free_gpu(server.url)))
    assert (level, message.endswith("It may hold some of the GPU's memory.")) == ("WARNING", True)
