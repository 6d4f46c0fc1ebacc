"""Finds out whether a graph can run, and says why not in ComfyUI's words."""

import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from generation.engines.simulator.folders import Folders
from generation.engines.simulator.inventory import Inventory
from generation.engines.simulator.node_schema import Node
from generation.engines.simulator.nodes import CATALOGUE
from generation.engines.simulator.release import Release
from generation.engines.simulator.validation_inputs import Problem, check_link_shape, check_literal, config_of, problem

# What a malformed graph, or a model folder that went away, makes ComfyUI's own validation stumble over.
STUMBLES = (LookupError, TypeError, AttributeError, OSError)


class CircularGraph(Exception):
    """ComfyUI runs out of stack here, and has nothing to say about it."""


@dataclass(slots=True)
class Verdict:
    is_valid: bool = True
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphVerdict:
    """`error` is None if at least one output can run; `node_errors` may tell of others even then."""

    error: Problem | None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def validate(
    graph: Any,
    folders: Folders,
    *,
    inventory: Inventory,
    release: Release,
    targets: Collection[str] | None = None,
) -> GraphVerdict:
    """Convert literals in `graph` to their declared types on the way.

    Raises TypeError or AttributeError for what is no graph at all: the real server answers 500 then.
    """
    error = _unknown_class(graph, inventory, release)
    if error is not None:
        return GraphVerdict(error=error)
    outputs = [
        node_id
        for node_id in graph
        if CATALOGUE[graph[node_id]["class_type"]].is_output and (targets is None or node_id in targets)
    ]
    if not outputs:
        return GraphVerdict(error=_error("prompt_no_outputs", "Prompt has no outputs", ""))
    return _judge_outputs(_Judge(graph, folders, release), outputs)


def _unknown_class(graph: Any, inventory: Inventory, release: Release) -> Problem | None:
    for node_id in graph:
        node = graph[node_id]
        if "class_type" not in node or node["class_type"] not in inventory.nodes:
            blame = _missing_node if release.names_missing_nodes else _missing_class
            return blame(node_id, node)
    return None


def _missing_class(node_id: str, node: Mapping[str, Any]) -> Problem:
    """As ComfyUI said it before 0.12."""
    message = "Cannot execute because a node is missing the class_type property."
    if "class_type" in node:
        message = f"Cannot execute because node {node['class_type']} does not exist."
    return _error("invalid_prompt", message, f"Node ID '#{node_id}'")


def _missing_node(node_id: str, node: Mapping[str, Any]) -> Problem:
    class_type = node.get("class_type")
    title = node.get("_meta", {}).get("title", class_type)
    message = f"Node '{title}' not found. The custom node may not be installed."
    if class_type is None:
        named = title or f"ID #{node_id}"
        message = f"Node '{named}' has no class_type. The workflow may be corrupted or a custom node is missing."
    told = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return _error("missing_node_type", message, f"Node ID '#{node_id}'") | {"extra_info": told}


def _judge_outputs(judge: "_Judge", outputs: list[str]) -> GraphVerdict:
    good = [node_id for node_id in outputs if judge.accepts(node_id)]
    if good:
        return GraphVerdict(error=None, outputs=good, node_errors=judge.node_errors)
    own = [problem for node_id in outputs for problem in judge.own_problems(node_id)]
    details = "\n".join(f"{problem['message']}: {problem['details']}" for problem in own)
    error = _error("prompt_outputs_failed_validation", "Prompt outputs failed validation", details)
    return GraphVerdict(error=error, node_errors=judge.node_errors)


def _error(error_type: str, message: str, details: str) -> Problem:
    return {"type": error_type, "message": message, "details": details, "extra_info": {}}


class _Judge:
    def __init__(self, graph: Mapping[str, Any], folders: Folders, release: Release) -> None:
        self.node_errors: dict[str, Any] = {}
        self._graph = graph
        self._folders = folders
        self._release = release
        self._verdicts: dict[str, Verdict] = {}

    def own_problems(self, node_id: str) -> list[Problem]:
        return self._verdicts[node_id].problems if node_id in self._verdicts else []

    def accepts(self, output_id: str) -> bool:
        """Judge all that the output needs, and file what is wrong with it."""
        try:
            is_valid = self._judge(output_id, ()).is_valid
        except CircularGraph:
            return False
        except STUMBLES as exc:
            is_valid = False
            failure = _stumble(exc, "exception_during_validation", "Exception when validating node", {})
            self._verdicts[output_id] = Verdict(is_valid=False, problems=[failure])
        if not is_valid:
            self._file(output_id)
        return is_valid

    def _file(self, output_id: str) -> None:
        """Like ComfyUI, blame every problem found so far for the failure of this output."""
        for node_id, verdict in self._verdicts.items():
            if verdict.problems:
                filed = self.node_errors.setdefault(node_id, self._node_error(node_id, verdict))
                filed["dependent_outputs"].append(output_id)

    def _node_error(self, node_id: str, verdict: Verdict) -> dict[str, Any]:
        class_type = self._graph[node_id]["class_type"]
        return {"errors": verdict.problems, "dependent_outputs": [], "class_type": class_type}

    def _judge(self, node_id: str, path: tuple[str, ...]) -> Verdict:
        if node_id in self._verdicts:
            return self._verdicts[node_id]
        if node_id in path:
            raise CircularGraph(node_id)
        inputs = self._graph[node_id]["inputs"]
        node = CATALOGUE[self._graph[node_id]["class_type"]]
        verdict = Verdict()
        for name in node.inputs:
            self._judge_input(node, name, inputs, verdict=verdict, path=(*path, node_id))
        verdict.is_valid = verdict.is_valid and not verdict.problems
        self._verdicts[node_id] = verdict
        return verdict

    def _judge_input(
        self, node: Node, name: str, inputs: dict[str, Any], *, verdict: Verdict, path: tuple[str, ...]
    ) -> None:
        if name not in inputs:
            if name in node.required:
                details = {"input_name": name}
                verdict.problems.append(problem("required_input_missing", "Required input is missing", name, details))
        elif isinstance(inputs[name], list):
            self._judge_link(node, name, inputs[name], verdict=verdict, path=path)
        else:
            verdict.problems += check_literal(node, name, inputs, self._folders, release=self._release)

    def _judge_link(self, node: Node, name: str, value: list[Any], *, verdict: Verdict, path: tuple[str, ...]) -> None:
        verdict_of_shape = check_link_shape(node, name, value, self._graph)
        if verdict_of_shape is not None:
            verdict.problems.append(verdict_of_shape)
            return
        source_id = value[0]
        try:
            source = self._judge(source_id, path)
        except STUMBLES as exc:
            info = {"input_name": name, "input_config": config_of(node, name, self._folders), "linked_node": value}
            message = "Exception when validating inner node"
            failure = _stumble(exc, "exception_during_inner_validation", message, info)
            source = self._verdicts[source_id] = Verdict(is_valid=False, problems=[failure])
        verdict.is_valid = verdict.is_valid and source.is_valid


def _stumble(exc: Exception, error_type: str, message: str, info: Mapping[str, Any]) -> Problem:
    details = {
        **info,
        "exception_message": str(exc),
        "exception_type": type(exc).__name__,
        "traceback": traceback.format_tb(exc.__traceback__),
    }
    return problem(error_type, message, str(exc), details)
