"""A workflow of the operator, read and checked."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from generation.params import DEFAULT_VARIANT, GenerationParams
from generation.workflows.errors import FileBroken
from generation.workflows.graph_file import Graph, Node, read_graph
from generation.workflows.json_files import complaints
from generation.workflows.mapping import REQUIRED, TYPES, LoraPoint, MapFile, Parameter, Place, Source

LOADERS = ("LoraLoader", "LoraLoaderModelOnly")
ALWAYS_TAKEN = frozenset({"workflow", "prompt", "dynamic_prompts", "seed"})
# Every request brings its own.
ALWAYS_SET: frozenset[Parameter] = frozenset({*REQUIRED, "init_image", "control_image", "reference_image"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    name: str
    graph: Graph
    mapping: MapFile

    @property
    def content(self) -> str:
        """Return all that it is, as JSON: the same workflow is always the same text."""
        parts = {"graph": self.graph, "map": self.mapping.model_dump(mode="json")}
        return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS).decode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()

    @property
    def title(self) -> str:
        return self.mapping.title or self.name

    @property
    def parameters(self) -> frozenset[str]:
        """Return all that may be given beside it. Choices in the prompts are made before any graph is."""
        return ALWAYS_TAKEN | {*self.mapping.parameters}

    @property
    def classes(self) -> frozenset[str]:
        return frozenset(node["class_type"] for node in self.graph.values())

    @property
    def own_values(self) -> dict[Parameter, Any]:
        """Return what the parameters are in the graph itself, where a request leaves them out."""
        return {
            name: self._value_at(places[0]) for name, places in self.mapping.inputs.items() if name not in ALWAYS_SET
        }

    @property
    def set_places(self) -> frozenset[tuple[str, str]]:
        """Return the inputs, by node and name, whose values in the graph are only examples."""
        mapped = {(place.node, place.input) for places in self.mapping.inputs.values() for place in places}
        loaders = self.mapping.loras if isinstance(self.mapping.loras, list) else []
        return frozenset(mapped | {(node_id, "lora_name") for node_id in loaders})

    def _value_at(self, place: Place) -> Any:
        return self.graph[place.node]["inputs"][place.input]


def read_workflow(name: str, graph: Mapping[str, Any], mapping: Mapping[str, Any]) -> Workflow:
    """Check the two files, read as JSON, against each other. Raises FileBroken."""
    try:
        checked = MapFile.model_validate(mapping)
    except ValidationError as exc:
        raise FileBroken("The map file is wrong. " + " ".join(complaints(exc))) from exc
    workflow = Workflow(name=name, graph=read_graph(graph), mapping=checked)
    wrong = [*_wrong_inputs(workflow), *_wrong_loras(workflow)]
    if wrong:
        raise FileBroken("The map file does not fit. " + " ".join(wrong[:5]))
    _check_own_values(workflow)
    return workflow


def _wrong_inputs(workflow: Workflow) -> Iterator[str]:
    for required in REQUIRED:
        if required not in workflow.mapping.inputs:
            yield f"inputs.{required} is missing."
    taken: dict[tuple[str, str], str] = {}
    for name, places in workflow.mapping.inputs.items():
        for place in places:
            wrong = _wrong_place(workflow.graph, name, place)
            if wrong:
                yield f"inputs.{name}: {wrong}"
            first = taken.setdefault((place.node, place.input), name)
            if first != name:
                yield f"inputs.{name}: {first} goes there already."


def _wrong_place(graph: Graph, name: Parameter, place: Place) -> str | None:
    node = graph.get(place.node)
    if node is None:
        return f"the image does not depend on a node {place.node}."
    what = f"{place.input} of node {place.node} ({node['class_type']})"
    if place.input not in node["inputs"]:
        return f"there is no input {what}."
    value = node["inputs"][place.input]
    if isinstance(value, tuple):
        return f"{what} is linked to node {value[0]}: name the input of that one."
    if isinstance(value, bool) or not isinstance(value, TYPES[name]):
        wanted = "a text" if str in TYPES[name] else "a number" if float in TYPES[name] else "a whole number"
        return f"{what} is not {wanted}."
    return None


def _wrong_loras(workflow: Workflow) -> Iterator[str]:
    loras = workflow.mapping.loras
    if isinstance(loras, list):
        if len(set(loras)) < len(loras):
            yield "loras: each loader can be named once."
        yield from (wrong for node_id in loras if (wrong := _wrong_loader(workflow.graph, node_id)))
    elif isinstance(loras, LoraPoint):
        for source in filter(None, (loras.model, loras.clip)):
            if not _feeds(workflow.graph, source):
                yield f"loras: nothing is linked to output {source.output} of node {source.node}."


def _wrong_loader(graph: Graph, node_id: str) -> str | None:
    node = graph.get(node_id)
    if node is None or node["class_type"] not in LOADERS:
        return f"loras: node {node_id} is no {' or '.join(LOADERS)} that the image depends on."
    return None if _is_linked(node) else f"loras: nothing is linked to node {node_id}."


def _is_linked(loader: Node) -> bool:
    names = ("model", "clip") if loader["class_type"] == "LoraLoader" else ("model",)
    return all(isinstance(loader["inputs"].get(name), tuple) for name in names)


def _feeds(graph: Graph, source: Source) -> bool:
    wanted = (source.node, source.output)
    return any(value == wanted for node in graph.values() for value in node["inputs"].values())


def _check_own_values(workflow: Workflow) -> None:
    """What a request leaves out is answered as it is in the graph, so that it must be possible to ask for it."""
    try:
        GenerationParams.model_validate({"prompt": "example", "workflow": workflow.name, **workflow.own_values})
    except ValidationError as exc:
        raise FileBroken("A value in the graph cannot be asked for. " + " ".join(complaints(exc))) from exc


def variant_of(workflow: Workflow) -> str:
    """Return the model whose name stands in the answer: what the map file says, or just the default."""
    return workflow.mapping.base_model or DEFAULT_VARIANT
