"""Figures of the GPU: read through the real binding from a driver library that is made for the test."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from jobs import gpus, nvml, streams
from jobs.models import GpuLease, Job, Status
from jobs.narrator import GPU_GAP_SECONDS, Narrator
from jobs.nvml import FRESH_SECONDS, Sampler
from jobs.payloads import complete_payload, progress_payload
from jobs.progress.writer import connection, stream_key
from tests.jobs.fakes import FakeKind, make_job
from tests.jobs.test_progress_events import Clock

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {
    "utilization": 90,
    "memory_used": 20000,
    "memory_total": 81920,
    "temperature": 60,
    "power_watts": 312.3,
}
SECOND_GPU = {**FIGURES, "utilization": 91, "memory_used": 20001, "temperature": 61, "power_watts": 313.3}
# What a process does that wants the figures of the GPU it is given: how long it waits for them, and how it ends.
PROGRAM = """
import json, logging, sys, time
logging.basicConfig(level=logging.INFO)
from jobs.nvml import Sampler
sampler = Sampler(sys.argv[1])
sampler.start()
deadline = time.monotonic() + float(sys.argv[2])
while sampler.latest is None and sampler._thread.is_alive() and time.monotonic() < deadline:
    time.sleep(0.01)
print(json.dumps(sampler.latest))
sampler.stop()
"""
# The same with a driver that fails, until it is asked for the third time: the first two failures are over then.
ASKING_AGAIN = """
import json, logging, sys, time
logging.basicConfig(level=logging.INFO)
from jobs import nvml
nvml.PAUSE_AFTER_ERROR_SECONDS = 0.01
asked, read_figures = [], nvml.read_figures
nvml.read_figures = lambda gpu: asked.append(gpu) or read_figures(gpu)
sampler = nvml.Sampler(sys.argv[1])
sampler.start()
deadline = time.monotonic() + float(sys.argv[2])
while len(asked) < 3 and time.monotonic() < deadline:
    time.sleep(0.01)
print(json.dumps([len(asked) >= 3, sampler.latest]))
sampler.stop()
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libnvidia-ml.so.1."""
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("driver_stub.c")
    built = ["cc", "-shared", "-fPIC", "-nostdlib", "-w", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(built, check=True)
    return folder


def sampled(
    gpu: str, driver: Path | None, *, behaviour: str = "", patience: float = 60.0, program: str = PROGRAM
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "ISENGARD_TEST_DRIVER": behaviour}
    if driver is not None:
        environment["LD_LIBRARY_PATH"] = str(driver)
    argv = [sys.executable, "-c", program, gpu, str(patience)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=120)


@pytest.mark.parametrize(
    ("gpu", "figures"),
    [
        ("0", FIGURES),
        ("1", SECOND_GPU),
        ("1,0", SECOND_GPU),
        ("GPU-bbbb2222-0000", SECOND_GPU),
        ("GPU-bbbb", SECOND_GPU),
        ("00000000:65:00.0", SECOND_GPU),
    ],
)
def test_a_gpu_is_found_by_each_of_its_names(driver: Path, gpu: str, figures: dict) -> None:
    assert json.loads(sampled(gpu, driver).stdout) == figures


@pytest.mark.parametrize("gpu", ["7", "GPU-nobody", "GPU-", "nonsense"])
def test_a_gpu_that_is_not_there_has_no_figures(driver: Path, gpu: str) -> None:
    assert json.loads(sampled(gpu, driver, program=ASKING_AGAIN).stdout) == [True, None]


def test_without_a_driver_there_is_nothing_and_nothing_is_said(tmp_path: Path) -> None:
    ended = sampled("0", tmp_path)
    if not Path("/proc/driver/nvidia").exists():
        assert (json.loads(ended.stdout), ended.stderr) == (None, "")


def test_a_driver_that_hangs_holds_up_nobody(driver: Path) -> None:
    assert json.loads(sampled("0", driver, behaviour="hang", patience=0.3).stdout) is None


def test_a_driver_that_fails_is_mentioned_once(driver: Path) -> None:
    ended = sampled("0", driver, behaviour="broken", program=ASKING_AGAIN)
    assert json.loads(ended.stdout) == [True, None]
    assert ended.stderr.count("No figures of GPU 0") == 1


def test_figures_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    sampler = Sampler("0", clock=lambda: now[0])
    sampler._latest = (nvml.GpuFigures(**FIGURES), now[0])
    now[0] += FRESH_SECONDS
    assert sampler.latest == FIGURES
    now[0] += 0.1
    assert sampler.latest is None


@pytest.mark.gpu
def test_the_figures_of_a_real_gpu_are_plausible() -> None:
    try:
        nvml.pynvml.nvmlInit()
    except nvml.pynvml.NVMLError_LibraryNotFound:
        pytest.skip("there is no NVIDIA driver")
    figures = nvml.read_figures("0")
    assert 0 <= figures["utilization"] <= 100
    assert 0 <= figures["memory_used"] <= figures["memory_total"]
    assert 1000 < figures["memory_total"] < 1_000_000
    assert 0 < figures["temperature"] < 120
    assert 0 < figures["power_watts"] < 2000


class StubSampler:
    """Stands where a driver would be asked: what the test says is what it tells."""

    def __init__(self) -> None:
        self.latest: nvml.GpuFigures | None = nvml.GpuFigures(**FIGURES)


@pytest.fixture
def sampler(settings, monkeypatch: pytest.MonkeyPatch) -> StubSampler:
    stub = StubSampler()
    monkeypatch.setattr(gpus, "_samplers", {"0": stub})
    settings.HOSTNAME = "here"
    return stub


def a_job(**fields) -> Job:
    made = {"id": "fake-1", "kind": "fake", "status": Status.RUNNING, "total_steps": 10, "attempt": 1}
    return Job(**made | {"gpu": GpuLease(host="here", gpu="0")} | fields)


def sent() -> list[dict]:
    return [json.loads(entry[b"data"]) for _, entry in connection().xrange(stream_key("fake-1"))]


def test_progress_has_the_figures_of_the_jobs_gpu(fake_kind: FakeKind, sampler: StubSampler) -> None:
    Narrator(a_job()).progress()
    assert sent()[-1]["gpu"] == FIGURES


def test_without_figures_progress_has_no_gpu_at_all(fake_kind: FakeKind, sampler: StubSampler) -> None:
    sampler.latest = None
    Narrator(a_job()).progress()
    assert "gpu" not in sent()[-1]


def test_the_figures_of_another_hosts_gpu_are_not_ours_to_tell(fake_kind: FakeKind, sampler: StubSampler) -> None:
    Narrator(a_job(gpu=GpuLease(host="elsewhere", gpu="0"))).progress()
    assert "gpu" not in sent()[-1]


def test_while_nothing_else_changes_the_gpu_is_still_told(fake_kind, sampler, monkeypatch) -> None:
    clock = Clock(monkeypatch)
    narrator = Narrator(a_job())
    narrator.progress()
    for _ in range(40):
        clock.now += 0.5
        narrator.send_what_is_due()
    assert len(sent()) == 1 + int(20 / GPU_GAP_SECONDS)
    sampler.latest = None
    clock.now += 60
    monkeypatch.setattr(gpus, "SHOWN_SECONDS", 0.0)
    narrator.send_what_is_due()
    assert len(sent()) == 1 + int(20 / GPU_GAP_SECONDS)


@pytest.mark.parametrize(("age_seconds", "is_told"), [(15, True), (16, False)])
def test_whoever_reads_the_row_tells_fresh_figures_only(
    fake_kind, stopped_clock: datetime, age_seconds: int, is_told: bool
) -> None:
    taken = stopped_clock - timedelta(seconds=age_seconds)
    gpu = GpuLease(host="elsewhere", gpu="0", figures=FIGURES, figures_at=taken)
    assert ("gpu" in progress_payload(a_job(gpu=gpu))) == is_told


def test_a_job_that_ended_or_waits_tells_no_gpu(fake_kind: FakeKind) -> None:
    gpu = GpuLease(host="here", gpu="0", figures=FIGURES, figures_at=timezone.now())
    assert "gpu" not in progress_payload(a_job(gpu=gpu, status=Status.QUEUED))
    assert "gpu" not in complete_payload(a_job(gpu=gpu, status=Status.CANCELLED, completed_at=timezone.now()))


@pytest.mark.django_db(transaction=True)
def test_a_stream_reads_the_figures_with_the_job(fake_kind: FakeKind, django_assert_num_queries) -> None:
    gpu = GpuLease.objects.create(host="elsewhere", gpu="0", figures=FIGURES, figures_at=timezone.now())
    make_job(id="fake-1", status=Status.RUNNING, token="t", gpu=gpu)
    job = streams._read_job("fake-1")
    # In a stream's event loop a query is an error.
    with django_assert_num_queries(0):
        assert progress_payload(job)["gpu"] == FIGURES


@pytest.mark.django_db
def test_the_row_of_a_gpu_keeps_its_newest_figures(sampler: StubSampler) -> None:
    for gpu in ("0", "1"):
        GpuLease.objects.create(host="here", gpu=gpu)
    gpus.record_figures("here", "0")
    sampler.latest = None
    gpus.record_figures("here", "0")
    assert list(GpuLease.objects.order_by("gpu").values_list("figures", flat=True)) == [FIGURES, None]
    assert GpuLease.objects.get(gpu="0").figures_at is not None
