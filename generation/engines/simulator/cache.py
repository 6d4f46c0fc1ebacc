"""What the nodes of the previous prompt gave, found again by what went into them."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from generation.engines.simulator.folders import Folders
from generation.engines.simulator.graph import Graph, is_link, known_inputs
from generation.engines.simulator.nodes import CATALOGUE
from generation.engines.simulator.values import Result


class ResultCache:
    """Keys are signatures of inputs, not node ids, so results are found across workflows and clients.

    Model files are not part of a signature: a LoRA that is replaced under the same name goes unnoticed, as in ComfyUI.
    """

    def __init__(self) -> None:
        self._results: dict[str, Result] = {}

    def keep_only(self, signatures: Iterable[str]) -> None:
        wanted = set(signatures)
        self._results = {key: result for key, result in self._results.items() if key in wanted}

    def clear(self) -> None:
        self._results.clear()

    def get(self, signature: str) -> Result | None:
        return self._results.get(signature)

    def put(self, signature: str, result: Result) -> None:
        self._results[signature] = result


def signatures(graph: Graph, node_ids: Iterable[str], folders: Folders) -> dict[str, str]:
    """Return the signature of each of `node_ids`: a digest of its class, its inputs and everything above it."""
    found: dict[str, str] = {}
    for node_id in node_ids:
        _sign(node_id, graph, folders, found)
    return found


def _sign(node_id: str, graph: Graph, folders: Folders, found: dict[str, str]) -> str:
    if node_id not in found:
        node = graph[node_id]
        parts = {
            name: [_sign(value[0], graph, folders, found), value[1]] if is_link(value) else value
            for name, value in known_inputs(node).items()
        }
        found[node_id] = _digest([node["class_type"], parts, _fingerprint(node, folders)])
    return found[node_id]


def _fingerprint(node: Mapping[str, Any], folders: Folders) -> str | None:
    fingerprint = CATALOGUE[node["class_type"]].fingerprint
    try:
        return fingerprint(folders, node["inputs"]) if fingerprint else None
    except OSError:
        # The file went away since the validation, which the node itself is about to notice and to report.
        return None


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
