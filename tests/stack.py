"""The whole of Isengard as real processes on private ports, as `make run` starts it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import requests

from tests.conftest import wait_until
from tests.environment import database_of_its_own

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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

    def start(self) -> "Stack":
        with self.log_path.open("ab") as log:
            argv = [sys.executable, "-m", "isengard.supervisor"]
            self.process = subprocess.Popen(
                argv, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self.is_healthy, seconds=60, what=f"/health ({self.log_path})")
        wait_until(lambda: "generation@" in self.log and "maintenance@" in self.log, seconds=60, what="the workers")
        wait_until(lambda: self.log.count(" ready.") >= 3, seconds=60, what="the workers")
        return self

    def is_healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=2).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the processes below the supervisor whose command line has all the words."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in below if all(word in _command(process) for word in words)]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
