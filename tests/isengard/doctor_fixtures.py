"""A host that is in order, for the doctor to look at; the tests then break one thing."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generation.kind import GenerationKind
from isengard.doctor import host
from jobs.models import GpuLease, Slot
from tests.generation.simulator_process import Simulator
from tests.isengard.doctor_findings import wait_for_servers
from training.kind import TrainingKind


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("comfyui"))
    yield simulator
    simulator.stop()


@pytest.fixture
def healthy_host(db: None, settings: Any, tmp_path: Path, comfyui: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything runs: both workers serve their slots, the engines are there, and the disk has room."""
    wait_for_servers(monkeypatch)
    # However full the disk of whoever runs the tests is.
    settings.MIN_FREE_BYTES = 0
    for name in ("LOW_SPACE_BYTES", "NO_SPACE_BYTES"):
        monkeypatch.setattr(host, name, 0)
    settings.DATA_DIR = tmp_path
    settings.COMFYUI_URLS = (comfyui.url,)
    settings.AI_TOOLKIT_PYTHON = sys.executable
    for kind in (TrainingKind(), GenerationKind()):
        for spec in kind.slots():
            gpu, _ = GpuLease.objects.get_or_create(host=spec.gpu_host, gpu=spec.gpu)
            Slot.objects.create(name=spec.name, kind=kind.name, capacity=1, gpu=gpu, engine=spec.engine)
