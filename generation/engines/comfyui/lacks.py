"""What a server lacks for a graph, in words for who can install it."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from generation.engines.comfyui.catalogue import FOLDERS, NOT_FILES, Catalogue
from generation.engines.comfyui.nodes import Graph, Node

PACKS: Mapping[str, str] = MappingProxyType(
    {
        "FaceDetailer": "ComfyUI-Impact-Pack",
        "UltralyticsDetectorProvider": "ComfyUI-Impact-Subpack",
        "IPAdapterModelLoader": "ComfyUI_IPAdapter_plus",
        "IPAdapterAdvanced": "ComfyUI_IPAdapter_plus",
        "DepthAnythingV2Preprocessor": "comfyui_controlnet_aux",
        "DWPreprocessor": "comfyui_controlnet_aux",
    }
)
"""The node packs that bring the nodes which are no part of ComfyUI."""
# Their choices are people's files, which are looked at when a job names one.
OF_EACH_JOB = frozenset({"LoadImage.image", "LoraLoader.lora_name", "LoraLoaderModelOnly.lora_name"})


def lacks(graph: Graph, catalogue: Catalogue) -> tuple[str, ...]:
    """Return each thing once."""
    return tuple(dict.fromkeys(reason for node in graph.values() for reason in _lacks_of(node, catalogue)))


def _lacks_of(node: Node, catalogue: Catalogue) -> Iterator[str]:
    class_type = node["class_type"]
    if not catalogue.has(class_type):
        yield missing_node(class_type)
        return
    for name, value in node["inputs"].items():
        options = catalogue.options(class_type, name)
        if options is None or value in options or f"{class_type}.{name}" in OF_EACH_JOB:
            continue
        if class_type in FOLDERS and name not in NOT_FILES:
            yield f"{value} in models/{FOLDERS[class_type]}"
        else:
            yield f"the choice {value} of {class_type}.{name}, which newer versions have"


def missing_node(class_type: str) -> str:
    pack = PACKS.get(class_type)
    return f"the node {class_type} (node pack {pack})" if pack else f"the node {class_type}"
