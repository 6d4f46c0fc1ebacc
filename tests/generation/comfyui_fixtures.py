"""A ComfyUI-compatible stand-in as a real process, and short ways to run an order against it."""

import os
import shutil
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import requests

from generation.engines.comfyui import Capabilities, Limits, generate, probe
from generation.engines.comfyui.prompt_ids import PromptTag, prompt_id_of
from generation.engines.order import GenerationOrder, LoraFile
from generation.params import GenerationParams
from jobs.events import Artifact, Controls, Event, Log, Progress
from tests.generation.holding import Hold
from tests.http_serving import serving
from tests.stack import free_port

PROJECT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60
STEP_SECONDS = 0.02
# Between two steps of a sampler that is led.
PACE_SECONDS = 0.2
QUICK = Limits(
    poll_seconds=0.3,
    hinted_poll_seconds=0.05,
    # Only a test whose server is there may use it.
    connect_seconds=60.0,
    drain_seconds=60.0,
    absent_seconds=0.3,
    lora_seconds=0.5,
    settle_seconds=0.2,
    preview_seconds=0.1,
)


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def prompt_id(job_id: str, image: int, repeat: int = 0) -> str:
    """The name on the server of an image of a job's first attempt."""
    return prompt_id_of(PromptTag(job=job_id, attempt=1, image=image), repeat=repeat)


class StandIn:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.loras = folder / "loras"
        self.hold = Hold(folder / "hold")
        self._base = folder / "comfyui"
        self._log = folder / "comfyui.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.loras.mkdir(parents=True)

    def start(self) -> None:
        command = [*self.hold.command, "--listen", "127.0.0.1"]
        command += ["--port", str(self.port), "--base-directory", str(self._base), "--lora-directory", str(self.loras)]
        environment = os.environ | {"ISENGARD_SIMULATOR_STEP_SECONDS": str(STEP_SECONDS)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        wait_until(self._answers, "the stand-in answers")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def has_died(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def remove_model(self, name: str) -> None:
        (self._base / "models" / name).unlink()

    def add_model(self, name: str) -> None:
        path = self._base / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # The smallest safetensors file: no tensors at all.
        path.write_bytes(struct.pack("<Q", 2) + b"{}")

    def forget_uploads(self) -> None:
        shutil.rmtree(self._base / "input")
        (self._base / "input").mkdir()

    def arm(self, *faults: str) -> None:
        answer = requests.post(f"{self.url}/simulator/faults", json={"faults": faults}, timeout=DEADLINE_SECONDS)
        answer.raise_for_status()

    def armed(self) -> list[str]:
        faults: list[str] = requests.get(f"{self.url}/simulator/faults", timeout=DEADLINE_SECONDS).json()["faults"]
        return faults

    def queued_ids(self) -> set[str]:
        """The ids of all prompts that wait or run."""
        queue = requests.get(f"{self.url}/queue", timeout=DEADLINE_SECONDS).json()
        return {item[1] for item in queue["queue_running"] + queue["queue_pending"]}

    def running_ids(self) -> set[str]:
        return {item[1] for item in self.running()}

    def running(self) -> list[list[Any]]:
        items: list[list[Any]] = requests.get(f"{self.url}/queue", timeout=DEADLINE_SECONDS).json()["queue_running"]
        return items

    def delete(self, prompt_id: str) -> None:
        answer = requests.post(f"{self.url}/queue", json={"delete": [prompt_id]}, timeout=DEADLINE_SECONDS)
        answer.raise_for_status()

    def graph(self, prompt_id: str) -> dict[str, object]:
        """The graph of a finished prompt, as the server was given it."""
        entry = requests.get(f"{self.url}/history/{prompt_id}", timeout=DEADLINE_SECONDS).json()[prompt_id]
        return entry["prompt"][2]

    def timestamps(self, prompt_id: str) -> dict[str, int]:
        """When each thing happened to a finished prompt, in milliseconds of the server's clock."""
        entry = requests.get(f"{self.url}/history/{prompt_id}", timeout=DEADLINE_SECONDS).json()[prompt_id]
        return {name: details["timestamp"] for name, details in entry["status"]["messages"]}

    def _answers(self) -> bool:
        assert not self.has_died, self._log.read_text()
        try:
            return requests.get(f"{self.url}/queue", timeout=1).ok
        except requests.RequestException:
            return False


@contextmanager
def running_stand_in(folder: Path) -> Iterator[StandIn]:
    stand_in = StandIn(folder)
    stand_in.start()
    try:
        yield stand_in
    finally:
        stand_in.kill()


@contextmanager
def answering_server(status: int, body: bytes) -> Iterator[str]:
    """Give one answer to everything that is asked at the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name http.server asks for

        def log_message(self, *_: object) -> None:
            return

    with serving(Handler) as url:
        yield url


def order_for(
    server_url: str,
    workspace: Path,
    *,
    job_id: str = "gen-1",
    count: int = 1,
    done: Iterable[int] = (),
    loras: tuple[LoraFile, ...] = (),
    **params: object,
) -> GenerationOrder:
    # A seed that another job has used would be answered from the server's cache, without any sampling.
    seed = zlib.crc32(job_id.encode())
    wanted = {"prompt": "a photo", "width": 512, "height": 512, "steps": 4, "seed": seed} | params
    return GenerationOrder(
        job_id=job_id,
        attempt=1,
        params=GenerationParams.model_validate(wanted),
        count=count,
        done=frozenset(done),
        loras=loras,
        server_url=server_url,
        workspace=workspace,
        controls=Controls(),
    )


def run_order(order: GenerationOrder, limits: Limits = QUICK) -> list[Event]:
    return list(generate(order, limits=limits))


def read_until(events: Iterator[Event], is_wanted: Callable[[Event], bool]) -> list[Event]:
    """Take events up to and with the first wanted one."""
    taken: list[Event] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    for event in events:
        taken.append(event)
        if is_wanted(event):
            return taken
        assert time.monotonic() < deadline, taken[-5:]
    raise AssertionError(f"ended before the wanted event: {taken[-5:]}")


def read_step_by_step(events: Iterator[Event], hold: Hold, is_wanted: Callable[[Event], bool]) -> list[Event]:
    """The same of a held sampler, which goes on meanwhile, but not to its end before the wanted event is there."""
    moved_at = time.monotonic()

    def is_found(event: Event) -> bool:
        nonlocal moved_at
        if time.monotonic() - moved_at >= PACE_SECONDS:
            hold.go_on_to(hold.steps + 1)
            moved_at = time.monotonic()
        return is_wanted(event)

    return read_until(events, is_found)


def probed(server_url: str, further_classes: Iterable[str] = ()) -> Capabilities:
    """Ask a server that is up what it can do. It is given seconds to answer, and on a busy machine that may not do."""
    found: list[Capabilities] = []
    classes = tuple(further_classes)

    def is_up() -> bool:
        found.append(probe(server_url, classes))
        return found[-1].is_up

    wait_until(is_up, f"{server_url} answers")
    return found[-1]


def is_sampling(event: Event) -> bool:
    return isinstance(event, Progress) and event.stage == "sampling" and "step" in (event.message or "")


def artifacts(events: Iterable[Event]) -> list[Artifact]:
    """Return the pictures that were told."""
    return [event for event in events if isinstance(event, Artifact) and event.type == "output"]


def log_events(events: Iterable[Event]) -> list[str]:
    return [event.event for event in events if isinstance(event, Log)]
