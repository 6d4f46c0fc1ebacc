"""The servers that the conformance tests of generation speak to: the stand-in always, ComfyUI where there is one.

`ISENGARD_TEST_COMFYUI_DIR` is ComfyUI's checkout and `ISENGARD_TEST_COMFYUI_PYTHON` its interpreter: the tests make
tiny models (or take those in `ISENGARD_TEST_COMFYUI_MODELS`), and start and kill servers as they like.
`ISENGARD_TEST_COMFYUI_URL` is a server that runs, and `ISENGARD_TEST_COMFYUI_LORAS` the folder in which it sees LoRAs:
the tests that have to kill a server leave it alone.
"""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.conftest import wait_until
from tests.generation.holding import Hold
from tests.generation.simulator_process import Listener
from tests.stack import ROOT, free_port

STAND_IN, REAL, FOREIGN = "stand-in", "comfyui", "comfyui-at-url"
DIRECTORY = os.environ.get("ISENGARD_TEST_COMFYUI_DIR", "")
PYTHON = os.environ.get("ISENGARD_TEST_COMFYUI_PYTHON", "python3")
MODELS = os.environ.get("ISENGARD_TEST_COMFYUI_MODELS", "")
URL = os.environ.get("ISENGARD_TEST_COMFYUI_URL", "")
LORAS = os.environ.get("ISENGARD_TEST_COMFYUI_LORAS", "")
OURS = [STAND_IN, *([REAL] if DIRECTORY else [])]
NAMES = [*OURS, *([FOREIGN] if URL and LORAS else [])]
TINY_COMFYUI = Path(__file__).with_name("tiny_comfyui.py")
START_SECONDS = 120
MAKE_SECONDS = 300
READ_SECONDS = 60
# On two busy cores a real server takes half a minute for each picture.
TEST_SECONDS = 900
# Slow enough to be met at work.
STEP_SECONDS = "0.02"

Graph = dict[str, dict[str, Any]]


def unique(suffix: str = "") -> str:
    """Return a name that nobody else has."""
    return f"{uuid.uuid4().hex}{suffix}"


class Server:
    """Speaks to a server at `url`, which sees `loras` as its LoRA folder."""

    def __init__(self, name: str, url: str, loras: Path) -> None:
        self.name = name
        self.url = url
        self.loras = loras

    @property
    def is_stand_in(self) -> bool:
        return self.name == STAND_IN

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=READ_SECONDS, **options)

    def post(self, path: str, body: object = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=READ_SECONDS, **options)

    def submit(self, graph: Graph, **more: object) -> str:
        prompt_id = str(uuid.uuid4())
        answer = self.post("/prompt", {"prompt": graph, "prompt_id": prompt_id, **more})
        assert answer.status_code == 200, answer.text
        assert answer.json()["node_errors"] == {}
        return prompt_id

    def entry(self, prompt_id: str) -> Mapping[str, Any]:
        """Return the history of a prompt, once there is one."""
        history = wait_until(
            lambda: self.get(f"/history/{prompt_id}").json(), seconds=120, what=f"history of {prompt_id}"
        )
        entry: Mapping[str, Any] = history[prompt_id]
        return entry

    def run(self, graph: Graph, **more: object) -> Mapping[str, Any]:
        return self.entry(self.submit(graph, **more))

    def queued_ids(self) -> tuple[list[str], list[str]]:
        """Return the ids that run and those that wait."""
        queue = self.get("/queue").json()
        return [item[1] for item in queue["queue_running"]], [item[1] for item in queue["queue_pending"]]

    def wait_for_running(self, prompt_id: str) -> None:
        wait_until(lambda: prompt_id in self.queued_ids()[0], seconds=60, what=f"{prompt_id} runs")

    def listen(self, client_id: str) -> Listener:
        listener = Listener(self.url.replace("http", "ws") + f"/ws?clientId={client_id}")
        listener.receive()
        return listener

    @contextmanager
    def held_after(self, _steps: int) -> Iterator[None]:
        """Let a stand-in's samplers wait after so many steps. A real server is slow by itself."""
        yield

    @contextmanager
    def decoding_slowly(self) -> Iterator[None]:
        """Let a stand-in decode until it is asked to stop. A real server is slow by itself."""
        yield

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/queue", timeout=5).ok
        except requests.RequestException:
            return False


class OwnServer(Server):
    """A server that the tests start and kill. What it writes lies in a folder of its own."""

    def __init__(self, name: str, folder: Path, loras: Path, *, models: Path) -> None:
        self._port = free_port()
        super().__init__(name, f"http://127.0.0.1:{self._port}", loras)
        self._folder = folder
        self._models = models
        self._hold = Hold(folder / "hold")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.loras.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), cwd=ROOT, env=self._environment(), stdout=log, stderr=log)
        wait_until(self._has_started, seconds=START_SECONDS, what=f"the server ({self._folder / 'log'})")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def held_after(self, steps: int) -> Iterator[None]:
        with self._hold.after_steps(steps):
            yield

    @contextmanager
    def decoding_slowly(self) -> Iterator[None]:
        before = self._hold.interruptions
        with self._hold.before("decode"):
            yield
            if self.is_stand_in:
                wait_until(lambda: self._hold.interruptions > before, seconds=60, what="a word to stop")

    def _has_started(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")[-3000:]
        return self.answers()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ISENGARD_")}
        return kept | {"ISENGARD_SIMULATOR_STEP_SECONDS": STEP_SECONDS}

    def _command(self) -> list[str]:
        if self.is_stand_in:
            folders = ["--base-directory", str(self._folder), "--lora-directory", str(self.loras)]
            return [*self._hold.command, "--port", str(self._port), *folders]
        paths = self._folder / "paths.yaml"
        paths.write_text(yaml.safe_dump({"isengard": {"loras": str(self.loras)}}))
        tiny = [PYTHON, str(TINY_COMFYUI), "--comfyui", DIRECTORY, "--models", str(self._models)]
        serve = ["serve", "--folder", str(self._folder), "--port", str(self._port)]
        return [*tiny, *serve, "--", "--extra-model-paths-config", str(paths)]


def tiny_models(folder: Path) -> Path:
    """Return the folder with a real server's models, which are made if none are given."""
    if MODELS:
        return Path(MODELS)
    folder.mkdir(parents=True)
    command = [PYTHON, str(TINY_COMFYUI), "--comfyui", DIRECTORY, "--models", str(folder), "make"]
    subprocess.run(command, check=True, timeout=MAKE_SECONDS, capture_output=True)
    return folder


def become_idle(server: Server) -> None:
    """Leave nothing behind for the next test."""
    server.post("/queue", {"clear": True})
    deadline = time.monotonic() + READ_SECONDS
    while server.queued_ids() != ([], []):
        assert time.monotonic() < deadline, server.queued_ids()
        server.post("/interrupt", {})
        time.sleep(0.05)
