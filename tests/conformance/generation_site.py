"""A whole Isengard in front of given ComfyUI servers, and pictures by what was asked for."""

import io
import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageChops

from tests.api_client import Api
from tests.conformance.generation_servers import Server
from tests.conftest import wait_until
from tests.stack import Stack

PATIENCE_SECONDS = 300
SIDE = 512
# The sizes of the tiny FLUX models: width, and that of the block's last layer.
HIDDEN, INNER = 256, 1280
RANK = 4
F32_BYTES = 4


class GenerationSite:
    def __init__(self, data_dir: Path, servers: Sequence[Server]) -> None:
        self.servers = servers
        urls = ",".join(f"{server.url}#gpu={number}" for number, server in enumerate(servers))
        self.stack = Stack(data_dir, COMFYUI_URL=urls)
        self.api = Api(self.stack.url)
        self._pictures: dict[str, Image.Image] = {}
        self._names: dict[str, str] = {}

    def start(self) -> "GenerationSite":
        loras = self.stack.data_dir / "loras"
        shared = self.servers[0].loras
        if shared != loras:
            loras.parent.mkdir(parents=True, exist_ok=True)
            loras.symlink_to(shared, target_is_directory=True)
        self.stack.start()
        # What it was told once it goes on telling, also while a busy machine keeps a server from answering in time.
        wait_until(lambda: self.info()["models"]["flux-dev"]["available"], what="what the servers can do")
        return self

    def stop(self) -> None:
        self.stack.stop()

    def picture(self, **config: object) -> Image.Image:
        """Return the one picture of a configuration, which is made only once."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._pictures:
            self._pictures[key] = self.fresh_pictures(**config)[0]
        return self._pictures[key]

    def fresh_pictures(self, *, count: int = 1, **config: object) -> list[Image.Image]:
        ended = self.wait_for(self.generate(count=count, **config))
        assert ended["status"] == "completed", ended
        return self.pictures_of(ended)

    def generate(self, *, count: int = 1, **config: object) -> str:
        """Start what costs a real server least of all that the API allows."""
        least = {"width": SIDE, "height": SIDE, "steps": 2, "seed": 42}
        return self.api.generate(count=count, **(least | config))

    def wait_for(self, job: str, *states: str) -> dict:
        return self.api.wait_for(job, *states, seconds=PATIENCE_SECONDS)

    def pictures_of(self, job: dict) -> list[Image.Image]:
        contents = [self.api.call("GET", f"/api/outputs/{name}").content for name in job["output_paths"]]
        return [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]

    def upload(self, colour: str) -> str:
        """Return the name of an uploaded picture with an edge in it."""
        if colour not in self._names:
            picture = Image.new("RGB", (640, 480), colour)
            picture.paste("white", (200, 120, 440, 360))
            content = io.BytesIO()
            picture.save(content, "PNG")
            files = {"file": (f"{colour}.png", content.getvalue(), "image/png")}
            answer = self.api.call("POST", "/api/generation/images", expect=201, files=files)
            self._names[colour] = answer.json()["name"]
        return self._names[colour]

    def add_lora(self, number: int) -> str:
        """Return the id of an uploaded LoRA whose weights follow from `number`."""
        name = f"style {number}"
        if name not in self._names:
            file = (f"{name}.safetensors", tiny_lora(number), "application/octet-stream")
            form = {"name": name, "trigger_word": name}
            answer = self.api.call("POST", "/api/loras/upload", expect=201, files={"file": file}, data=form)
            self._names[name] = answer.json()["id"]
        return self._names[name]

    def info(self) -> dict:
        return self.api.get("/info")["image_generation"]


def tiny_lora(number: int) -> bytes:
    """A LoRA as ai-toolkit writes one for FLUX.1, in the sizes of the tiny models."""
    dice = random.Random(number)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for module, width in (("attn.to_q", HIDDEN), ("attn.to_v", HIDDEN), ("proj_out", INNER)):
        for half, shape in (("A", [RANK, width]), ("B", [HIDDEN, RANK])):
            values = [dice.gauss(0, 0.2) for _ in range(shape[0] * shape[1])]
            name = f"transformer.single_transformer_blocks.0.{module}.lora_{half}.weight"
            end = len(body) + F32_BYTES * len(values)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), end]}
            body += struct.pack(f"<{len(values)}f", *values)
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + body


def changed_fraction(one: Image.Image, other: Image.Image) -> float:
    """Return which part of the pixels differs."""
    assert one.size == other.size
    red, green, blue = ImageChops.difference(one, other).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return 1 - largest.histogram()[0] / (one.width * one.height)
