"""A workflow as ComfyUI exports it for its API, made sure to be one."""

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias, TypedDict, cast

from generation.workflows.errors import FileBroken

MAX_NODES = 1000
SAVING = "SaveImage"

# Any JSON may be a node's setting; what is no link is only handed on.
Value: TypeAlias = str | int | float | bool | tuple[str, int]
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


class Node(TypedDict):
    class_type: str
    inputs: dict[str, Value]


Graph: TypeAlias = dict[str, Node]


def read_graph(content: Mapping[str, Any]) -> Graph:
    """Return the nodes that the one saved image depends on. Raises FileBroken."""
    if isinstance(content.get("nodes"), list):
        raise FileBroken("It is in the format that ComfyUI saves: export it with `Export (API)` instead.")
    if len(content) > MAX_NODES:
        raise FileBroken(f"It has {len(content)} nodes; at most {MAX_NODES} are possible.")
    graph = {_name(node_id, "A node's id"): _node(node_id, node) for node_id, node in content.items()}
    _check_links(graph)
    return used_by(graph, saving_node(graph))


def saving_node(graph: Graph) -> str:
    """Return the id of the node that saves the image. Raises FileBroken."""
    saving = [node_id for node_id, node in graph.items() if node["class_type"] == SAVING]
    if len(saving) != 1:
        raise FileBroken(f"It must have one node {SAVING}, and has {len(saving)}.")
    if not isinstance(graph[saving[0]]["inputs"].get("images"), tuple):
        raise FileBroken(f"Nothing is linked to its {SAVING}.")
    return saving[0]


def used_by(graph: Graph, node_id: str) -> Graph:
    """Return what `node_id` depends on, itself included: previews and unused branches are left out."""
    used: set[str] = set()
    waiting = [node_id]
    while waiting:
        each = waiting.pop()
        if each not in used:
            used.add(each)
            waiting += [source for source, _ in links_of(graph[each])]
    return {each: node for each, node in graph.items() if each in used}


def links_of(node: Node) -> Iterator[tuple[str, int]]:
    return (value for value in node["inputs"].values() if isinstance(value, tuple))


def _name(text: object, what: str) -> str:
    if not isinstance(text, str) or not _NAME.fullmatch(text) or text in (".", ".."):
        raise FileBroken(f"{what} must be 1 to 200 printable characters.")
    return text


def _node(node_id: str, node: Any) -> Node:
    if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
        raise FileBroken(f"Node {node_id} must be an object with class_type and inputs.")
    class_type = _name(node.get("class_type"), f"The class_type of node {node_id}")
    return {"class_type": class_type, "inputs": {name: _value(node_id, each) for name, each in node["inputs"].items()}}


def _value(node_id: str, value: Any) -> Value:
    if not isinstance(value, list):
        return cast(Value, value)
    is_link = len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int and value[1] >= 0
    if not is_link:
        raise FileBroken(f"Node {node_id} has a list that is no link: [node id, number of its output].")
    return value[0], value[1]


def _check_links(graph: Graph) -> None:
    sources = {node_id: [source for source, _ in links_of(node)] for node_id, node in graph.items()}
    for node_id, linked in sources.items():
        for source in linked:
            if source not in graph:
                raise FileBroken(f"Node {node_id} is linked to node {source}, which is not there.")
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as exc:
        raise FileBroken("Its links go round in a circle.") from exc
