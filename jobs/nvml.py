"""What NVIDIA's management library tells of one GPU. Knows no framework, and lives without a driver."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypedDict

import pynvml

logger = logging.getLogger(__name__)

SAMPLE_SECONDS = 2.0
# Older figures are no longer true: the driver hangs, or the GPU fell off the bus.
FRESH_SECONDS = 10.0
PAUSE_AFTER_ERROR_SECONDS = 60.0


class GpuFigures(TypedDict):
    """`utilization` in percent, memory in MiB as nvidia-smi shows it, `temperature` in degrees Celsius."""

    utilization: int
    memory_used: int
    memory_total: int
    temperature: int
    power_watts: float


def read_figures(gpu: str) -> GpuFigures:
    """Ask the driver once. `gpu` is named as CUDA_VISIBLE_DEVICES names it. Raises pynvml.NVMLError."""
    handle = _find(gpu.split(",")[0].strip())
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return GpuFigures(
        utilization=int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        memory_used=int(memory.used) >> 20,
        memory_total=int(memory.total) >> 20,
        temperature=int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
        power_watts=round(pynvml.nvmlDeviceGetPowerUsage(handle) / 1000, 1),
    )


def _find(gpu: str) -> object:
    # NVML counts in the order of the PCI bus, as CUDA does with the CUDA_DEVICE_ORDER that the trainer is given.
    if gpu.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(gpu))
    if ":" in gpu:
        return pynvml.nvmlDeviceGetHandleByPciBusId(gpu)
    return _find_by_uuid(gpu)


def _find_by_uuid(start: str) -> object:
    """CUDA takes the beginning of a UUID where only one GPU has it."""
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    found = [handle for handle in handles if str(pynvml.nvmlDeviceGetUUID(handle)).startswith(start)]
    return found[0] if len(found) == 1 else pynvml.nvmlDeviceGetHandleByUUID(start)


class Sampler:
    """Asks in a thread of its own, so that a driver that hangs holds up nobody: its figures just grow old."""

    def __init__(self, gpu: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._gpu = gpu
        self._clock = clock
        self._latest: tuple[GpuFigures, float] | None = None
        self._stop = threading.Event()
        self._has_failed = False
        self._thread = threading.Thread(target=self._sample_on, name=f"gpu-{gpu}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; a thread that hangs in the driver is left behind."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    @property
    def latest(self) -> GpuFigures | None:
        """Return the newest figures; None without a driver, and when they are older than FRESH_SECONDS."""
        taken = self._latest
        return taken[0] if taken is not None and self._clock() - taken[1] <= FRESH_SECONDS else None

    def _sample_on(self) -> None:
        while not self._stop.is_set():
            try:
                pynvml.nvmlInit()
                self._sample_until_it_fails()
            except pynvml.NVMLError_LibraryNotFound:
                # A machine without a driver has no figures, and that is no news.
                return
            except pynvml.NVMLError as exc:
                self._tell_once(exc)
                self._stop.wait(PAUSE_AFTER_ERROR_SECONDS)

    def _sample_until_it_fails(self) -> None:
        try:
            while not self._stop.is_set():
                self._latest = (read_figures(self._gpu), self._clock())
                self._stop.wait(SAMPLE_SECONDS)
        finally:
            # Without this a driver that was updated underneath would never be found again.
            pynvml.nvmlShutdown()

    def _tell_once(self, exc: pynvml.NVMLError) -> None:
        if not self._has_failed:
            logger.info("No figures of GPU %s: %s", self._gpu, exc)
        self._has_failed = True
