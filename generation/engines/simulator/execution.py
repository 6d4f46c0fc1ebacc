"""Runs one prompt: its nodes in an order that their links allow, each unless its result is still in the cache."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from generation.engines.simulator.announcer import Announcer
from generation.engines.simulator.cache import ResultCache, signatures
from generation.engines.simulator.errors import NodeFailed, PromptForgotten, PromptInterrupted
from generation.engines.simulator.faults import Faults
from generation.engines.simulator.folders import Folders
from generation.engines.simulator.graph import above, is_link, known_inputs, sources
from generation.engines.simulator.history import Entry
from generation.engines.simulator.interruption import Interruption
from generation.engines.simulator.node_context import NodeContext, Residency
from generation.engines.simulator.node_schema import Node
from generation.engines.simulator.nodes import CATALOGUE
from generation.engines.simulator.prompt_queue import QueuedPrompt
from generation.engines.simulator.release import Release
from generation.engines.simulator.values import Result

LITERALS = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What outlives a prompt."""

    folders: Folders
    faults: Faults
    step_seconds: float
    release: Release
    cache: ResultCache = field(default_factory=ResultCache)
    residency: Residency = field(default_factory=Residency)


class Execution:
    def __init__(
        self, prompt: QueuedPrompt, *, bench: Workbench, announcer: Announcer, interruption: Interruption
    ) -> None:
        self._prompt = prompt
        self._bench = bench
        self._announcer = announcer
        self._interruption = interruption
        self._signatures = signatures(prompt.graph, above(prompt.graph, prompt.outputs), bench.folders)
        self._shown: dict[str, Mapping[str, Any]] = {}
        self._is_success = False

    def run(self) -> None:
        """Raises PromptForgotten; every other end is announced and told by `entry`."""
        self._announcer.started()
        self._bench.cache.keep_only(self._signatures.values())
        cached = {node_id for node_id in self._signatures if self._result(node_id) is not None}
        self._announcer.cached([node_id for node_id in self._prompt.graph if node_id in cached])
        visits = above(self._prompt.graph, self._prompt.outputs, cached)
        self._is_success = all(map(self._visit, Order(self._prompt, visits)))
        if self._is_success:
            self._announcer.succeeded()

    def entry(self) -> Entry:
        """Return what the history keeps."""
        status = {
            "status_str": "success" if self._is_success else "error",
            "completed": self._is_success,
            "messages": self._announcer.messages,
        }
        return {
            "prompt": self._prompt.as_item(),
            "outputs": self._shown,
            "status": status,
            "meta": {node_id: _meta(node_id) for node_id in self._shown},
        }

    def _result(self, node_id: str) -> Result | None:
        return self._bench.cache.get(self._signatures[node_id])

    def _visit(self, node_id: str) -> bool:
        """Return whether the prompt goes on."""
        cached = self._result(node_id)
        if cached is None:
            return self._execute(node_id)
        if self._prompt.client_id is not None or self._bench.release.lists_cached_outputs_for_all:
            self._keep_shown(node_id, cached)
        self._announcer.cached_node_visited(node_id, cached.shown)
        return True

    def _execute(self, node_id: str) -> bool:
        node_type = self._prompt.graph[node_id]["class_type"]
        self._announcer.node_started(node_id)
        try:
            result = self._run_node(node_id, CATALOGUE[node_type])
        except PromptInterrupted:
            self._announcer.interrupted(node_id, node_type)
            return False
        except PromptForgotten:
            raise
        except Exception as exc:  # Whatever a node raises is reported to the client and ends only this prompt.
            details = {"current_inputs": self._literal_inputs(node_id), "current_outputs": list(self._prompt.graph)}
            self._announcer.failed(exc, node_id=node_id, node_type=node_type, details=details)
            return False
        self._bench.cache.put(self._signatures[node_id], result)
        self._keep_shown(node_id, result)
        self._announcer.node_finished(node_id, result.shown)
        return True

    def _run_node(self, node_id: str, node: Node) -> Result:
        self._interruption.check()
        if self._bench.faults.take("error") or self._bench.faults.is_armed("broken"):
            raise NodeFailed("The stand-in was asked to fail.", reported_type="RuntimeError")
        inputs = {name: self._value(value) for name, value in known_inputs(self._prompt.graph[node_id]).items()}
        return node.run(self._context(node_id), inputs)

    def _value(self, value: Any) -> Any:
        if not is_link(value):
            return value
        result = self._result(value[0])
        if result is None:
            raise KeyError(value[0])
        return result.outputs[value[1]]

    def _context(self, node_id: str) -> NodeContext:
        report_step: Callable[[int, int, Callable[[], bytes]], None] = partial(self._announcer.stepped, node_id)
        return NodeContext(
            folders=self._bench.folders,
            faults=self._bench.faults,
            residency=self._bench.residency,
            interruption=self._interruption,
            step_seconds=self._bench.step_seconds,
            release=self._bench.release,
            graph=self._prompt.graph,
            extra_pnginfo=self._prompt.extra_data.get("extra_pnginfo"),
            report_step=report_step,
        )

    def _keep_shown(self, node_id: str, result: Result) -> None:
        if result.shown is not None:
            self._shown[node_id] = result.shown

    def _literal_inputs(self, node_id: str) -> dict[str, list[Any]]:
        inputs = known_inputs(self._prompt.graph[node_id])
        values = {name: self._value(value) for name, value in inputs.items()}
        return {name: [value if isinstance(value, LITERALS) else repr(value)] for name, value in values.items()}


class Order:
    """Yields nodes whose sources are done: outputs as soon as they can run, the others in an order nobody can guess.

    ComfyUI's own order varies too: no client may rely on it.
    """

    def __init__(self, prompt: QueuedPrompt, visits: list[str]) -> None:
        self._graph = prompt.graph
        self._left = visits
        self._dice = random.Random(prompt.prompt_id)

    def __iter__(self) -> "Order":
        return self

    def __next__(self) -> str:
        if not self._left:
            raise StopIteration
        ready = [node_id for node_id in self._left if not sources(self._graph[node_id]) & set(self._left)]
        outputs = [node_id for node_id in ready if CATALOGUE[self._graph[node_id]["class_type"]].is_output]
        chosen = self._dice.choice(outputs or ready)
        self._left.remove(chosen)
        return chosen


def _meta(node_id: str) -> dict[str, Any]:
    return {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
