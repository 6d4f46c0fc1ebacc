"""What only the real program with full weights on a GPU can show. `ISENGARD_TEST_MODELS_DIR` holds `flux-dev/`."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conformance.training_programs import DIRECTORY, real_program
from tests.conformance.training_site import PATIENCE_SECONDS, Site
from tests.conftest import wait_until

MODELS = os.environ.get("ISENGARD_TEST_MODELS_DIR", "")
HAS_ALL = bool(DIRECTORY and MODELS and shutil.which("nvidia-smi"))
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.stack,
    pytest.mark.timeout(6 * PATIENCE_SECONDS),
    pytest.mark.skipif(not HAS_ALL, reason="needs an NVIDIA GPU, ai-toolkit and the weights of FLUX.1 dev"),
]
# Loading and quantising twelve billion parameters from a cold disk.
LOADING_SECONDS = 1800
USAGE = ("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(real_program(tmp_path_factory.mktemp("gpu"), models=Path(MODELS)))
    try:
        running.stack.start()
        yield running
    finally:
        running.stack.stop()


def megabytes_by_process() -> dict[int, int]:
    said = subprocess.run(USAGE, capture_output=True, text=True, check=True, timeout=30).stdout
    return {int(pid): int(used) for pid, used in (line.split(",") for line in said.splitlines() if line)}


def test_flux_dev_is_trained_and_its_speed_and_memory_are_told(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    job = site.train(site.api.make_character(photos=4), steps=100, lora_rank=16)
    with site.api.stream(job) as stream:
        told = [event.data for event in stream]
    assert told[-1]["status"] == "completed", told[-1]
    figures = [data["gpu"] for data in told if data.get("gpu")]
    speeds = [data["iteration_speed"] for data in told if data.get("iteration_speed")]
    assert figures
    assert speeds
    record_property("steps_per_second", speeds[-1])
    record_property("gpu", max(figures, key=lambda figure: figure["memory_used"]))


def test_a_cancelled_training_gives_its_gpu_memory_back(site: Site) -> None:
    job = site.train(site.api.make_character(photos=4), steps=5000)
    wait_until(lambda: site.api.job(job)["current_step"] >= 3, seconds=LOADING_SECONDS, what="step 3")
    trainer = site.trainer(job)
    assert megabytes_by_process().get(trainer.pid, 0) > 1000
    site.api.cancel(job)
    assert not psutil.wait_procs([trainer], timeout=30)[1]
    wait_until(lambda: trainer.pid not in megabytes_by_process(), seconds=10, what="the GPU's memory")
