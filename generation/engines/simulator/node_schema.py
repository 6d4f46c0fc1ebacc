"""How a node declares its inputs and outputs, and how `/object_info` spells that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from generation.engines.simulator.folders import Folders
from generation.engines.simulator.values import Result

if TYPE_CHECKING:
    from generation.engines.simulator.node_context import NodeContext

COMBO = "COMBO"
UNSIGNED_64_BIT_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """`type` is a link's or a literal's type, or COMBO with `choices` and the live content of `folder`."""

    type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    folder: str | None = None

    def options(self, folders: Folders) -> list[str]:
        found = [] if self.folder is None else folders.choices(self.folder)
        return [*found, *self.choices]


def link(type_name: str, **config: Any) -> InputSpec:
    return InputSpec(type=type_name, config=config)


def integer(default: int, low: int, high: int, **config: Any) -> InputSpec:
    return InputSpec(type="INT", config={"default": default, "min": low, "max": high, **config})


def decimal(default: float, low: float, high: float, **config: Any) -> InputSpec:
    return InputSpec(type="FLOAT", config={"default": default, "min": low, "max": high, **config})


def text(**config: Any) -> InputSpec:
    return InputSpec(type="STRING", config=config)


def prompt_text() -> InputSpec:
    return text(multiline=True, dynamicPrompts=True)


def choice(*choices: str, **config: Any) -> InputSpec:
    return InputSpec(type=COMBO, choices=choices, config=config)


def file_in(folder: str, *more: str, **config: Any) -> InputSpec:
    return InputSpec(type=COMBO, folder=folder, choices=more, config=config)


def seed() -> InputSpec:
    return integer(0, 0, UNSIGNED_64_BIT_MAX, control_after_generate=True)


NodeFunction = Callable[["NodeContext", Mapping[str, Any]], Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node class. `is_new_style` picks the second of ComfyUI's two spellings of a combo.

    `fingerprint` tells the cache that a file behind an input changed; `refuses` replaces the check against the options.
    """

    name: str
    run: NodeFunction
    required: Mapping[str, InputSpec]
    optional: Mapping[str, InputSpec] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    output_names: tuple[str, ...] | None = None
    display_name: str | None = None
    category: str = ""
    module: str = "nodes"
    is_output: bool = False
    is_new_style: bool = False
    fingerprint: Callable[[Folders, Mapping[str, Any]], str] | None = None
    refuses: Callable[[Folders, str], str | None] | None = None

    @property
    def inputs(self) -> dict[str, InputSpec]:
        return {**self.required, **self.optional}


def input_config(node: Node, spec: InputSpec, options: list[str] | None = None) -> list[Any]:
    """Return the pair that validation errors show; `options` are a combo's."""
    if spec.type != COMBO:
        return [spec.type, dict(spec.config)]
    if node.is_new_style:
        return [COMBO, {"multiselect": False, "options": options, **spec.config}]
    return [options, dict(spec.config)]


def describe(node: Node, folders: Folders) -> dict[str, Any]:
    """Return the node's entry in `/object_info`."""
    groups = {"required": node.required, "optional": node.optional}
    inputs: dict[str, Any] = {
        group: {name: _spell(node, spec, folders) for name, spec in specs.items()}
        for group, specs in groups.items()
        if specs
    }
    order = {group: list(specs) for group, specs in inputs.items()}
    if node.is_output:
        inputs["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        order["hidden"] = list(inputs["hidden"])
    return {"input": inputs, "input_order": order, **_describe_outputs(node)}


def _spell(node: Node, spec: InputSpec, folders: Folders) -> list[Any]:
    options = spec.options(folders) if spec.type == COMBO else None
    first, config = input_config(node, spec, options)
    return [first, config] if config or node.is_new_style else [first]


def _describe_outputs(node: Node) -> dict[str, Any]:
    described = {
        "output": list(node.outputs),
        "output_is_list": [False] * len(node.outputs),
        "output_name": list(node.output_names or node.outputs),
        "name": node.name,
        "display_name": node.display_name if node.is_new_style else node.display_name or node.name,
        "description": "",
        "python_module": node.module,
        "category": node.category,
        "output_node": node.is_output,
    }
    if node.is_new_style:
        described |= {"deprecated": False, "experimental": False, "api_node": False}
    return described
