"""What matters in a graph to who watches it: found by the classes of its nodes, so that any graph will do."""

from dataclasses import dataclass

from generation.engines.comfyui.nodes import Graph

SAVING = "SaveImage"
# ComfyUI's samplers are many (KSampler, KSamplerAdvanced, SamplerCustom, SamplerCustomAdvanced, those of node packs).
NOT_SAMPLERS = frozenset({"KSamplerSelect"})
MODEL_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmarks:
    saving: frozenset[str]
    samplers: frozenset[str]
    decoders: frozenset[str]
    files: frozenset[str] = frozenset()
    """The bare names of the files that the graph asks for."""


NO_LANDMARKS = Landmarks(saving=frozenset(), samplers=frozenset(), decoders=frozenset())


def landmarks_of(graph: Graph) -> Landmarks:
    classes = {node_id: node["class_type"] for node_id, node in graph.items()}
    return Landmarks(
        saving=frozenset(node_id for node_id, name in classes.items() if name == SAVING),
        samplers=frozenset(node_id for node_id, name in classes.items() if _is_sampler(name)),
        decoders=frozenset(node_id for node_id, name in classes.items() if name.startswith("VAEDecode")),
        files=_files_in(graph),
    )


def _files_in(graph: Graph) -> frozenset[str]:
    values = (value for node in graph.values() for value in node["inputs"].values())
    return frozenset(_bare_name(value) for value in values if _is_file(value))


def _is_sampler(class_type: str) -> bool:
    is_named_so = class_type.startswith(("KSampler", "SamplerCustom"))
    return is_named_so and class_type not in NOT_SAMPLERS


def _bare_name(value: object) -> str:
    return str(value).replace("\\", "/").rpartition("/")[2]


def _is_file(value: object) -> bool:
    return isinstance(value, str) and value.lower().endswith((*MODEL_SUFFIXES, ".png", ".jpg", ".jpeg", ".webp"))
