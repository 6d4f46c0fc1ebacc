"""What a ComfyUI server can do for Isengard, asked of the server itself."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, get_args

from generation.engines.comfyui.client import READY_SECONDS, Client
from generation.engines.comfyui.errors import ServerAway
from generation.engines.comfyui.graph import LORA_CLASS, build_graph
from generation.engines.comfyui.nodes import Graph, Node
from generation.engines.comfyui.refusals import FOLDERS
from generation.params import NOT_IMPLEMENTED, TOGGLES, GenerationParams, ModelVariant

SERVER_AWAY = "The ComfyUI server cannot be reached."
PROBE_READ_SECONDS = 3.0

Declarations = Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """`missing` says in words which nodes and model files the server lacks."""

    is_available: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Toggle:
    """`reason` says why the toggle is not supported, None where it is."""

    is_supported: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """`visible_loras` are the names under which the server lists LoRA files, those of all people."""

    is_up: bool
    variants: Mapping[str, Variant]
    toggles: Mapping[str, Toggle]
    visible_loras: frozenset[str]


def probe(server_url: str) -> Capabilities:
    """Ask the server, in some tens of small requests. Never raises: a server that is away can do nothing."""
    with closing(Client(server_url, connect_seconds=READY_SECONDS, read_seconds=PROBE_READ_SECONDS)) as client:
        try:
            return _ask(client)
        except ServerAway:
            missing = Variant(is_available=False, missing=(SERVER_AWAY,))
            return Capabilities(
                is_up=False,
                variants=dict.fromkeys(get_args(ModelVariant), missing),
                toggles=_toggles(),
                visible_loras=frozenset(),
            )


def _ask(client: Client) -> Capabilities:
    graphs = {variant: _example_graph(variant) for variant in get_args(ModelVariant)}
    classes = {node["class_type"] for graph in graphs.values() for node in graph.values()}
    declarations = {class_type: client.object_info(class_type) for class_type in sorted(classes)}
    return Capabilities(
        is_up=True,
        variants={variant: _variant(graph, declarations) for variant, graph in graphs.items()},
        toggles=_toggles(),
        visible_loras=_visible_loras(client),
    )


def _example_graph(variant: ModelVariant) -> Graph:
    """What the server lacks is read off a graph as it is really submitted, so that the two cannot drift apart."""
    return build_graph(GenerationParams(prompt="probe", model_variant=variant), (), seed=0, prefix="probe")


def _variant(graph: Graph, declarations: Declarations) -> Variant:
    missing = tuple(dict.fromkeys(reason for node in graph.values() for reason in _missing(node, declarations)))
    return Variant(is_available=not missing, missing=missing)


def _missing(node: Node, declarations: Declarations) -> Iterator[str]:
    class_type = node["class_type"]
    declaration = declarations[class_type]
    if declaration is None:
        yield f"the node {class_type}"
        return
    for name, value in node["inputs"].items():
        options = _options(declaration, name)
        if class_type in FOLDERS and options is not None and value not in options:
            yield f"{value} in models/{FOLDERS[class_type]}"


def _options(declaration: Mapping[str, Any], name: str) -> list[str] | None:
    """Return what may be chosen for an input, None where it is not a choice. ComfyUI has two spellings for it."""
    kind = declaration.get("input", {}).get("required", {}).get(name) or [None]
    if isinstance(kind[0], list):
        return kind[0]
    if kind[0] == "COMBO" and len(kind) > 1:
        return list(kind[1].get("options", []))
    return None


def _visible_loras(client: Client) -> frozenset[str]:
    try:
        if client.object_info(LORA_CLASS) is None:
            return frozenset()
        return frozenset(client.models("loras"))
    except ServerAway:
        # ComfyUI fails here, and here alone, after a whole LoRA folder was deleted under it.
        return frozenset()


def _toggles() -> dict[str, Toggle]:
    return {name: Toggle(is_supported=False, reason=NOT_IMPLEMENTED) for name in TOGGLES}
