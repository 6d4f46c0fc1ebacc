"""The whole of Isengard as real processes on private ports, as `make run` starts it."""

import os
import random
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import requests

from tests.conftest import wait_until
from tests.environment import database_of_its_own

ROOT = Path(__file__).resolve().parent.parent
# Below those that the kernel hands out by itself, so that none is taken between its choice and its use.
PORTS = range(11_000, 32_000)
# A server listens long before so many others have been chosen.
MAX_CLAIMS = 100
START_SECONDS = 120
STOP_SECONDS = 60
LOG_END_CHARACTERS = 3000

_claims: deque[int] = deque()


def free_port() -> int:
    """Return a port on which nobody listens, and that no other process of tests chooses meanwhile."""
    ports = random.SystemRandom().sample(PORTS, len(PORTS))
    port = next(port for port in ports if _claim(port) and _is_unused(port))
    while len(_claims) > MAX_CLAIMS:
        os.close(_claims.popleft())
    return port


def _claim(port: int) -> bool:
    """Take a name that the kernel gives to one process at a time, until that process ends."""
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0isengard-tests-port-{port}")
        except OSError:
            return False
        _claims.append(claim.detach())
        return True


def _is_unused(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Stack:
    """Start with `start()`; `url` is the API's root. `log` is everything that was printed."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = data_dir.parent / f"{data_dir.name}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ISENGARD_", "COMFYUI"))}
        self.environment = (
            kept
            | {
                "ISENGARD_DATA_DIR": str(data_dir),
                "ISENGARD_ENV_FILE": "/dev/null",
                "ISENGARD_RATE_LIMITS": "off",
                "ISENGARD_SIMULATOR_STEP_SECONDS": "0.01",
                "PORT": str(self.port),
            }
            | database_of_its_own(data_dir)
            | environment
        )
        self.process: subprocess.Popen[bytes] | None = None
        self._log_begin = 0

    def start(self) -> "Stack":
        with self.log_path.open("ab") as log:
            self._log_begin = log.tell()
            argv = [sys.executable, "-m", "isengard.supervisor"]
            self.process = subprocess.Popen(
                argv, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._is_started, seconds=START_SECONDS, what=f"the start of Isengard ({self.log_path})")
        return self

    def _is_started(self) -> bool:
        """Whether all that it starts has been ready, and the workers wait for jobs."""
        said = self.log_path.read_bytes()[self._log_begin :].decode(errors="replace")
        if self.process.poll() is not None:
            raise AssertionError(f"Isengard ended: {said[-LOG_END_CHARACTERS:]}")
        return "Isengard is ready at" in said and said.count(" ready.") >= 3 and self.is_healthy()

    def is_healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the processes below the supervisor whose command line has all the words."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in below if all(word in _command(process) for word in words)]

    @property
    def comfyui_url(self) -> str:
        """Where the stand-in for ComfyUI answers."""
        return (self.data_dir / "run" / "comfyui.url").read_text().strip()

    def spoil_comfyui(self, *faults: str) -> None:
        """Arm these faults of the stand-in, in place of those that still wait for their moment."""
        armed = requests.post(f"{self.comfyui_url}/simulator/faults", json={"faults": faults}, timeout=60)
        armed.raise_for_status()

    def wait_for_faults(self) -> None:
        """Wait until all faults that were armed have had their moment."""
        url = f"{self.comfyui_url}/simulator/faults"
        wait_until(lambda: not requests.get(url, timeout=60).json()["faults"], what="the faults' moment")

    @contextmanager
    def held(self, *words: str) -> Iterator[None]:
        """Keep the processes from going on for as long as a block runs. There must be one."""
        processes = self.processes(*words)
        assert processes, words
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_SECONDS)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
