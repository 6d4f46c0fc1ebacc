"""Fixtures for tests of the stand-in for ComfyUI; a test module names this one in `pytest_plugins`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generation.simulator_process import Simulator, StartSimulator


@pytest.fixture(scope="module")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("simulator"))
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Iterator[Simulator]:
    """A server that a module's tests share, idle at the start of each."""
    yield shared_simulator
    shared_simulator.become_idle()


@pytest.fixture
def start_simulator(tmp_path: Path) -> Iterator[StartSimulator]:
    """Start servers that the test has for itself."""
    started: list[Simulator] = []

    def start(*arguments: str, **environment: str) -> Simulator:
        started.append(Simulator(tmp_path / str(len(started)), *arguments, **environment))
        return started[-1]

    yield start
    for simulator in started:
        simulator.stop()
