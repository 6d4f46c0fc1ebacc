"""The stand-in for ComfyUI as a real process, spoken to over real HTTP and WebSocket, and graphs for it to run."""

import io
import itertools
import json
import os
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.generation.holding import Hold

PROJECT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60
STEP_SECONDS = 0.02
ENDLESS_STEPS = 5000
OLD_RELEASE = "0.8.0"  # It takes any text as an id, and checks every choice.

Graph = dict[str, dict[str, Any]]
Message = dict[str, Any]

_unique = itertools.count(1)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true value of `condition()`."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.005)
    return value


class Listener:
    """A WebSocket client that keeps everything it was sent."""

    def __init__(self, url: str) -> None:
        self.messages: list[Message | bytes] = []
        self._open = ExitStack()
        # A server that answers no ping for a while is a slow one: tests know when it is gone.
        patient = {"open_timeout": DEADLINE_SECONDS, "ping_interval": None}
        self._connection = self._open.enter_context(connect(url, max_queue=None, **patient))

    def receive(self, seconds: float = DEADLINE_SECONDS) -> Message | bytes:
        frame = self._connection.recv(timeout=seconds)
        message = frame if isinstance(frame, bytes) else json.loads(frame)
        self.messages.append(message)
        return message

    def until(self, event: str, **data: object) -> Message:
        """Read on until an `event` comes that has all of `data`."""
        while True:
            message = self.receive()
            if is_event(message, event, **data):
                return message

    def until_end(self, prompt_id: str) -> list[Message | bytes]:
        self.until("executing", node=None, prompt_id=prompt_id)
        return self.messages

    def hears_nothing(self, seconds: float) -> bool:
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def events(self, *names: str) -> list[Message]:
        return [m for m in self.messages if isinstance(m, dict) and (not names or m["type"] in names)]

    def previews(self) -> list[bytes]:
        return [message for message in self.messages if isinstance(message, bytes)]

    def send(self, message: object) -> None:
        self._connection.send(message if isinstance(message, str) else json.dumps(message))

    def close(self) -> None:
        self._open.close()

    def close_code(self) -> int | None:
        """Read until the connection ends, and say with which code (1006: it just broke)."""
        try:
            while True:
                self.receive()
        except ConnectionClosed:
            return self._connection.protocol.close_code


def is_event(message: Message | bytes, event: str, **data: object) -> bool:
    if isinstance(message, bytes) or message["type"] != event:
        return False
    return all(name in message["data"] and message["data"][name] == value for name, value in data.items())


class Simulator:
    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.base, self.loras = folder / "comfyui", folder / "loras"
        self.hold = Hold(folder / "hold")
        self._arguments = arguments
        own = {"ISENGARD_SIMULATOR_STEP_SECONDS": str(STEP_SECONDS), "ISENGARD_SIMULATOR_COMFYUI": OLD_RELEASE}
        self._environment = own | environment
        self._listeners: list[Listener] = []
        self.start()

    def start(self) -> None:
        folders = ["--base-directory", str(self.base), "--lora-directory", str(self.loras)]
        self.process = subprocess.Popen(
            [*self.hold.command, "--port", "0", *folders, *self._arguments],
            cwd=PROJECT,
            env=os.environ | self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split(": ", 1)[1].strip()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=DEADLINE_SECONDS, **options)

    def post(self, path: str, body: object = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=DEADLINE_SECONDS, **options)

    def submit(self, graph: Graph, **more: object) -> str:
        answer = self.post("/prompt", {"prompt": graph, **more})
        assert answer.status_code == 200, answer.text
        prompt_id: str = answer.json()["prompt_id"]
        return prompt_id

    def entry(self, prompt_id: str) -> Mapping[str, Any]:
        """Return the prompt's history, once there is one."""
        history = wait_for(lambda: self.get(f"/history/{prompt_id}").json(), f"the history of {prompt_id}")
        # Who may look at the queue again knows that its change was told.
        self.queued_ids()
        entry: Mapping[str, Any] = history[prompt_id]
        return entry

    def run(self, graph: Graph, **more: object) -> Mapping[str, Any]:
        return self.entry(self.submit(graph, **more))

    def picture(self, graph: Graph) -> Image.Image:
        """Run `graph` and return the one picture that it saves."""
        return Image.open(io.BytesIO(self.view(images_of(self.run(graph))[0]).content))

    def view(self, image: Mapping[str, str], **query: str) -> requests.Response:
        return self.get("/view", params={**image, **query})

    def error_of(self, graph: Graph) -> Mapping[str, Any]:
        """Run `graph`, which has to fail, and return what the history says about that."""
        event, details = self.run(graph)["status"]["messages"][-1]
        assert event == "execution_error"
        error: Mapping[str, Any] = details
        return error

    def listen(self, client_id: str | None = None, path: str = "/ws") -> Listener:
        """Connect, and read the greeting, so that nothing sent from now on is missed."""
        query = "" if client_id is None else f"?clientId={client_id}"
        listener = Listener(self.url.replace("http", "ws") + path + query)
        self._listeners.append(listener)
        listener.receive()
        return listener

    def arm(self, *faults: str) -> None:
        assert self.post("/simulator/faults", {"faults": faults}).status_code == 200

    def queued_ids(self) -> tuple[list[str], list[str]]:
        """Return the ids that run and those that wait, in the order of their numbers."""
        queue = self.get("/queue").json()
        running, waiting = queue["queue_running"], sorted(queue["queue_pending"], key=lambda item: item[0])
        return [item[1] for item in running], [item[1] for item in waiting]

    def start_endless(self) -> str:
        """Return a prompt once it samples, which it does until it is interrupted."""
        witness = self.listen()
        prompt_id = self.submit(flux_graph(steps=ENDLESS_STEPS))
        witness.until("progress", prompt_id=prompt_id)
        self._listeners.remove(witness)
        witness.close()
        return prompt_id

    def become_quiet(self) -> None:
        """Let earlier prompts say all that they have to say: prompts speak one after the other."""
        self.post("/upload/image", files={"image": ("quiet.png", png_bytes())})
        client_id = uuid.uuid4().hex
        last = self.listen(client_id)
        last.until_end(self.submit(copy_graph("quiet.png", prefix="quiet"), client_id=client_id))
        self._listeners.remove(last)
        last.close()

    def become_idle(self) -> None:
        """Leave nothing behind for the next test."""
        self.arm()
        self.post("/queue", {"clear": True})

        def is_idle() -> bool:
            self.post("/interrupt", {})
            return self.queued_ids() == ([], [])

        wait_for(is_idle, "the queue is empty")


StartSimulator = Callable[..., Simulator]


def flux_graph(*, steps: int = 2, size: tuple[int, int] = (64, 48), batch_size: int = 1, **changes: Any) -> Graph:
    """A FLUX graph; `changes` are inputs by name (`seed`, `text`, `lora`, ...). A new seed each time unless given."""
    model, prefix = "1", changes.get("prefix", f"test/{uuid.uuid4().hex}/img")
    graph: Graph = {
        "1": _node("UNETLoader", unet_name=changes.get("unet", "flux1-dev.safetensors"), weight_dtype="default"),
        "2": _node("DualCLIPLoader", clip_name1="t5xxl_fp16.safetensors", clip_name2="clip_l.safetensors", type="flux"),
        "3": _node("VAELoader", vae_name="ae.safetensors"),
        "5": _node("CLIPTextEncode", clip=["2", 0], text=changes.get("text", "a photo of a person")),
        "6": _node("FluxGuidance", conditioning=["5", 0], guidance=changes.get("guidance", 3.5)),
        "7": _node("EmptySD3LatentImage", width=size[0], height=size[1], batch_size=batch_size),
        "8": _node("RandomNoise", noise_seed=changes.get("seed", next(_unique))),
        "9": _node("KSamplerSelect", sampler_name=changes.get("sampler", "euler")),
        "11": _node(
            "BasicScheduler",
            model=["1", 0],
            scheduler=changes.get("scheduler", "simple"),
            steps=steps,
            denoise=changes.get("denoise", 1.0),
        ),
        "14": _node("VAEDecode", samples=["13", 0], vae=["3", 0]),
        "15": _node("SaveImage", images=["14", 0], filename_prefix=prefix),
    }
    if "lora" in changes:
        model = "4"
        strength = changes.get("strength", 1.0)
        graph["4"] = _node("LoraLoaderModelOnly", model=["1", 0], lora_name=changes["lora"], strength_model=strength)
    graph["12"] = _node("BasicGuider", model=[model, 0], conditioning=["6", 0])
    graph["13"] = _node(
        "SamplerCustomAdvanced",
        noise=["8", 0],
        guider=["12", 0],
        sampler=["9", 0],
        sigmas=["11", 0],
        latent_image=["7", 0],
    )
    return graph


def classic_graph(*, cfg: float, negative: str, seed: int = 1) -> Graph:
    """A graph with KSampler, which also knows a negative prompt."""
    graph = flux_graph()
    for node_id in ("8", "9", "11", "12"):
        del graph[node_id]
    graph["16"] = _node("CLIPTextEncode", clip=["2", 0], text=negative)
    graph["13"] = _node(
        "KSampler",
        model=["1", 0],
        positive=["5", 0],
        negative=["16", 0],
        latent_image=["7", 0],
        seed=seed,
        steps=2,
        cfg=cfg,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )
    return graph


def copy_graph(image: str, prefix: str = "copy") -> Graph:
    """Load an upload and save it again."""
    return {
        "1": _node("LoadImage", image=image),
        "2": _node("SaveImage", images=["1", 0], filename_prefix=prefix),
    }


def _node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def images_of(entry: Mapping[str, Any]) -> list[dict[str, str]]:
    return [image for shown in entry["outputs"].values() for image in shown["images"]]


def png_bytes(colour: str = "orange", size: tuple[int, int] = (40, 24)) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", size, colour).save(encoded, "PNG")
    return encoded.getvalue()


PEFT_MODULE = "transformer.transformer_blocks.0.attn.to_q"
KOHYA_MODULE = "lora_unet_double_blocks_0_img_attn_qkv"


def lora_bytes(*keys: str, weight: float = 1.0) -> bytes:
    """A safetensors file of one number per key; without keys, a pair as ai-toolkit writes it."""
    keys = keys or (f"{PEFT_MODULE}.lora_A.weight", f"{PEFT_MODULE}.lora_B.weight")
    tensors = {
        key: {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * place, 4 * place + 4]}
        for place, key in enumerate(keys)
    }
    header = json.dumps({"__metadata__": {"made_for": "a test"}, **tensors}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack("<f", weight) * len(keys)
