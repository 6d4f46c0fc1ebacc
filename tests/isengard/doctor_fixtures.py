"""A host that is in order, for the doctor to look at; the tests then break one thing."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generation.kind import GenerationKind
from jobs.models import GpuLease, Slot
from tests.generation.simulator_process import Simulator
from training.kind import TrainingKind


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("comfyui"))
    yield simulator
    simulator.stop()


@pytest.fixture
def healthy_host(db: None, settings: Any, tmp_path: Path, comfyui: Simulator) -> None:
    """Everything runs: both workers serve their slots, the engines are there, and the disk has room."""
    settings.DATA_DIR = tmp_path
    settings.COMFYUI_URLS = (comfyui.url,)
    settings.AI_TOOLKIT_PYTHON = sys.executable
    for kind in (TrainingKind(), GenerationKind()):
        for spec in kind.slots():
            gpu, _ = GpuLease.objects.get_or_create(host=spec.gpu_host, gpu=spec.gpu)
            Slot.objects.create(name=spec.name, kind=kind.name, capacity=1, gpu=gpu, engine=spec.engine)
