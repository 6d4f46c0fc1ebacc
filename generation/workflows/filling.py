"""Setting a workflow's inputs: on the graph itself, never by replacing text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generation.engines.order import LoraFile
from generation.params import GenerationParams, ImageField
from generation.workflows.graph_file import Graph, Node, saving_node, used_by
from generation.workflows.mapping import LoraPoint, Parameter, Source
from generation.workflows.workflow import Workflow

Link = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """`images` are the names by which the server knows the given images, `prefix` is where the image is saved."""

    params: GenerationParams
    loras: Sequence[LoraFile]
    seed: int
    prefix: str
    images: Mapping[ImageField, str]


def fill(workflow: Workflow, filling: Filling) -> Graph:
    """Return the graph of one image. The workflow stays as it is."""
    graph: Graph = {
        node_id: {"class_type": node["class_type"], "inputs": dict(node["inputs"])}
        for node_id, node in workflow.graph.items()
    }
    for name, places in workflow.mapping.inputs.items():
        for place in places:
            graph[place.node]["inputs"][place.input] = _value(name, filling)
    _apply_loras(graph, workflow, filling.loras)
    saving = saving_node(graph)
    graph[saving]["inputs"]["filename_prefix"] = filling.prefix
    return used_by(graph, saving)


def _value(name: Parameter, filling: Filling) -> Any:
    if name == "seed":
        return filling.seed
    if name == "init_image" or name == "control_image" or name == "reference_image":
        # Without one the graph is only looked at, never run.
        return filling.images.get(name) or f"{name}.png"
    return getattr(filling.params, name)


def _apply_loras(graph: Graph, workflow: Workflow, loras: Sequence[LoraFile]) -> None:
    where = workflow.mapping.loras
    if isinstance(where, list):
        for number, node_id in enumerate(where):
            if number < len(loras):
                _set_lora(graph[node_id], loras[number])
            else:
                _bypass(graph, node_id)
    elif isinstance(where, LoraPoint):
        _insert_loaders(graph, where, loras)


def _set_lora(loader: Node, lora: LoraFile) -> None:
    loader["inputs"] |= {"lora_name": lora.name, "strength_model": lora.strength}
    if loader["class_type"] == "LoraLoader":
        loader["inputs"]["strength_clip"] = lora.strength


def _bypass(graph: Graph, node_id: str) -> None:
    """Link what the loader feeds to what it is fed from: at strength 0 it would still need a file."""
    for output, name in enumerate(("model", "clip")):
        source = graph[node_id]["inputs"].get(name)
        if isinstance(source, tuple):
            _relink(graph, (node_id, output), source)


def _insert_loaders(graph: Graph, point: LoraPoint, loras: Sequence[LoraFile]) -> None:
    model, clip = _link(point.model), _link(point.clip) if point.clip else None
    last_model, last_clip = model, clip
    loaders: Graph = {}
    for number, lora in enumerate(loras, start=1):
        node_id = _free_id(graph, number)
        loaders[node_id] = _loader(last_model, last_clip, lora)
        last_model, last_clip = (node_id, 0), (node_id, 1) if clip else None
    # Before the loaders are put in: the first of them stays linked to the point itself.
    _relink(graph, model, last_model)
    if clip and last_clip:
        _relink(graph, clip, last_clip)
    graph |= loaders


def _loader(model: Link, clip: Link | None, lora: LoraFile) -> Node:
    node: Node = {"class_type": "LoraLoaderModelOnly", "inputs": {"model": model}}
    if clip is not None:
        node = {"class_type": "LoraLoader", "inputs": {"model": model, "clip": clip}}
    _set_lora(node, lora)
    return node


def _relink(graph: Graph, old: Link, new: Link) -> None:
    for node in graph.values():
        node["inputs"] = {name: new if value == old else value for name, value in node["inputs"].items()}


def _link(source: Source) -> Link:
    return source.node, source.output


def _free_id(graph: Graph, number: int) -> str:
    node_id = f"lora-{number}"
    while node_id in graph:
        node_id += "-"
    return node_id
