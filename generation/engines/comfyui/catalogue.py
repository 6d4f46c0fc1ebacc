"""What a server declares of its nodes: which there are, and what may be chosen for their inputs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from generation.engines.comfyui.nodes import Graph

FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "UNETLoader": "diffusion_models",
        "CheckpointLoaderSimple": "checkpoints",
        "CLIPLoader": "text_encoders",
        "DualCLIPLoader": "text_encoders",
        "VAELoader": "vae",
        "ControlNetLoader": "controlnet",
        "CLIPVisionLoader": "clip_vision",
        "StyleModelLoader": "style_models",
        "IPAdapterModelLoader": "ipadapter",
        "UltralyticsDetectorProvider": "ultralytics",
        "UpscaleModelLoader": "upscale_models",
    }
)
"""The nodes that load a model file, and the folder below ComfyUI's `models` where it looks for it."""
# What else these nodes let one choose.
NOT_FILES = frozenset({"type", "weight_dtype", "device"})


class Declares(Protocol):
    """What of a client is needed here."""

    def object_info(self, class_type: str) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The declarations of some node classes, None for one that the server lacks."""

    declarations: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def has(self, class_type: str) -> bool:
        return self.declarations.get(class_type) is not None

    def options(self, class_type: str, name: str) -> list[str] | None:
        """Return what may be chosen for an input, None where it is not a choice or not known.

        ComfyUI has two spellings for a choice.
        """
        kind = self._kind(class_type, name) or [None]
        if isinstance(kind[0], list):
            return kind[0]
        if kind[0] == "COMBO" and len(kind) > 1:
            return list(kind[1].get("options", []))
        return None

    def declared_type(self, class_type: str, name: str) -> str | None:
        """Return the type of an input, None for one that is not declared."""
        kind = self._kind(class_type, name)
        if kind is None:
            return None
        return "COMBO" if isinstance(kind[0], list) else str(kind[0])

    def outputs(self, class_type: str) -> list[str]:
        """Return the types of a node's outputs, empty where they are not known."""
        return list((self.declarations.get(class_type) or {}).get("output") or ())

    def pick(self, class_type: str, name: str, names: tuple[str, ...]) -> str:
        """Return the first of `names` that the server lists for the input, or the very first if it lists none."""
        listed = self.options(class_type, name) or ()
        return next((each for each in names if each in listed), names[0])

    def _kind(self, class_type: str, name: str) -> list[Any] | None:
        inputs = (self.declarations.get(class_type) or {}).get("input", {})
        kind: list[Any] | None = inputs.get("required", {}).get(name) or inputs.get("optional", {}).get(name)
        return kind


UNKNOWN = Catalogue()
"""Of a server that was not asked: every file is expected under the first of its names."""


def read_catalogue(server: Declares, graphs: Iterable[Graph]) -> Catalogue:
    """Ask for every node class of the graphs. Raises ServerAway."""
    classes = {node["class_type"] for graph in graphs for node in graph.values()}
    return Catalogue(declarations={class_type: server.object_info(class_type) for class_type in sorted(classes)})


def loaders_of(graph: Graph) -> Graph:
    """Return the nodes that load model files."""
    return {node_id: node for node_id, node in graph.items() if node["class_type"] in FOLDERS}
