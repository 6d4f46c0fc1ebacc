"""What links to what, in the parts of a graph that were found valid. Inputs that no node knows are ignored."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

from generation.engines.simulator.nodes import CATALOGUE

Graph = Mapping[str, Mapping[str, Any]]


def known_inputs(node: Mapping[str, Any]) -> dict[str, Any]:
    declared = CATALOGUE[node["class_type"]].inputs
    return {name: value for name, value in node["inputs"].items() if name in declared}


def is_link(value: object) -> bool:
    return isinstance(value, list)


def sources(node: Mapping[str, Any]) -> set[str]:
    """Return the ids of the nodes that `node` links to."""
    return {value[0] for value in known_inputs(node).values() if is_link(value)}


def above(graph: Graph, outputs: Iterable[str], stops: Set[str] = frozenset()) -> list[str]:
    """Return `outputs` and all that they need, in the order of `graph`, without looking beyond `stops`."""
    reached: set[str] = set()
    waiting = list(outputs)
    while waiting:
        node_id = waiting.pop()
        if node_id not in reached:
            reached.add(node_id)
            waiting += [] if node_id in stops else sources(graph[node_id])
    return [node_id for node_id in graph if node_id in reached]
