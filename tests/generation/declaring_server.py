"""A ComfyUI that only tells what it has: any nodes and files may be missing."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from generation.engines.comfyui.catalogue import NOT_FILES, loaders_of
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.workflow import NotOffered, build_graph
from generation.params import TOGGLES, VARIANTS, GenerationParams
from tests.generation.node_declarations import DECLARATIONS
from tests.http_serving import serving


def expected_files() -> set[tuple[str, str]]:
    """Return every model file that a graph can ask for, under the first of its names, with the node that loads it."""
    return {
        (node["class_type"], str(value))
        for graph in _every_graph()
        for node in loaders_of(graph).values()
        for name, value in node["inputs"].items()
        if name not in NOT_FILES
    }


def _every_graph() -> Iterator[Graph]:
    for variant, toggle, kind in itertools.product(VARIANTS, (None, *TOGGLES), ("canny", "depth", "pose")):
        asked: dict[str, Any] = {"prompt": "a", "model_variant": variant, "control_type": kind}
        with suppress(NotOffered):
            params = GenerationParams.model_validate(asked | ({toggle: True} if toggle else {}))
            yield build_graph(params, (), seed=1, prefix="p")


@dataclass
class Declared:
    """What the server has; a test may take from it or add to it at any time."""

    nodes: set[str] = field(default_factory=lambda: set(DECLARATIONS))
    files: set[tuple[str, str]] = field(default_factory=expected_files)
    version: str = "0.33.0"
    url: str = ""

    def remove(self, file: str) -> None:
        self.files = {(class_type, name) for class_type, name in self.files if name != file}

    def answer(self, path: str) -> object:
        if path == "/system_stats":
            return {"system": {"comfyui_version": self.version}, "devices": []}
        if path.startswith("/models/"):
            return []
        class_type = path.removeprefix("/object_info/")
        return {class_type: self._declaration(class_type)} if class_type in self.nodes else {}

    def _declaration(self, class_type: str) -> object:
        inputs, outputs = DECLARATIONS[class_type]
        return {
            "input": {"required": {name: self._kind(class_type, kind) for name, kind in inputs.items()}},
            "output": outputs,
        }

    def _kind(self, class_type: str, kind: Any) -> list[object]:
        if kind == "file":
            listed = sorted(name for loader, name in self.files if loader == class_type)
            # Newer nodes spell a choice in another way.
            return ["COMBO", {"options": listed}] if class_type == "UpscaleModelLoader" else [listed]
        if isinstance(kind, tuple):
            return [list(kind)] if isinstance(kind[0], str) else ["FLOAT", {"min": kind[0], "max": kind[1]}]
        return [kind.upper()]


@contextmanager
def declaring_server() -> Iterator[Declared]:
    declared = Declared()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body in one packet: in two, the second would wait for the receipt of the first.
        wbufsize = 65536

        def do_GET(self) -> None:
            body = json.dumps(declared.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with serving(Handler) as declared.url:
        yield declared
