"""Checks a single input of a node."""

from collections.abc import Callable, Mapping
from typing import Any

from generation.engines.simulator.folders import Folders
from generation.engines.simulator.node_schema import COMBO, InputSpec, Node, input_config
from generation.engines.simulator.nodes import CATALOGUE
from generation.engines.simulator.release import Release

OPTIONS_SPELLED_OUT_MAX = 20

Problem = dict[str, Any]

_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def problem(problem_type: str, message: str, details: str, extra_info: Mapping[str, Any]) -> Problem:
    return {"type": problem_type, "message": message, "details": details, "extra_info": dict(extra_info)}


def config_of(node: Node, name: str, folders: Folders) -> list[Any]:
    spec = node.inputs[name]
    return input_config(node, spec, spec.options(folders) if spec.type == COMBO else None)


def check_link_shape(node: Node, name: str, value: list[Any], graph: Mapping[str, Any]) -> Problem | None:
    """Raises KeyError for a link to a node that is not there, IndexError for one to a slot that is not."""
    spec = node.inputs[name]
    info: dict[str, Any] = {"input_name": name, "input_config": input_config(node, spec, list(spec.choices))}
    if len(value) != 2:
        message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
        return problem("bad_linked_input", message, name, {**info, "received_value": value})
    received = CATALOGUE[graph[value[0]]["class_type"]].outputs[value[1]]
    if received == spec.type:
        return None
    return problem(
        "return_type_mismatch",
        "Return type mismatch between linked nodes",
        f"{name}, received_type({received}) mismatch input_type({spec.type})",
        {**info, "received_type": received, "linked_node": value},
    )


def check_literal(
    node: Node, name: str, inputs: dict[str, Any], folders: Folders, *, release: Release
) -> list[Problem]:
    """Convert `inputs[name]` to its declared type. Raises OSError if a model folder has gone away."""
    spec = node.inputs[name]
    if spec.type == COMBO:
        if node.is_new_style and not release.checks_new_choices:
            return []
        return _check_choice(node, name, inputs[name], folders)
    convert = _CONVERSIONS.get(spec.type, _leave)
    info = {"input_name": name, "input_config": input_config(node, spec), "received_value": inputs[name]}
    try:
        inputs[name] = convert(inputs[name])
    except (TypeError, ValueError, OverflowError) as exc:
        message = f"Failed to convert an input value to a {spec.type} value"
        details = f"{name}, {inputs[name]}, {exc}"
        return [problem("invalid_input_type", message, details, {**info, "exception_message": str(exc)})]
    info["received_value"] = inputs[name]
    return _check_range(spec, name, inputs[name], info)


def _leave(value: Any) -> Any:
    return value


def _check_range(spec: InputSpec, name: str, value: Any, info: Mapping[str, Any]) -> list[Problem]:
    low, high = spec.config.get("min"), spec.config.get("max")
    if low is not None and value < low:
        return [problem("value_smaller_than_min", f"Value {value} smaller than min of {low}", name, info)]
    if high is not None and value > high:
        return [problem("value_bigger_than_max", f"Value {value} bigger than max of {high}", name, info)]
    return []


def _check_choice(node: Node, name: str, value: Any, folders: Folders) -> list[Problem]:
    if node.refuses is not None:
        reason = node.refuses(folders, value)
        if reason is None:
            return []
        details = f"{name} - {reason}"
        return [problem("custom_validation_failed", "Custom validation failed for node", details, {"input_name": name})]
    options = node.inputs[name].options(folders)
    if value in options:
        return []
    is_short = len(options) <= OPTIONS_SPELLED_OUT_MAX
    listed = str(options) if is_short else f"(list of length {len(options)})"
    info = {
        "input_name": name,
        "input_config": config_of(node, name, folders) if is_short else None,
        "received_value": value,
    }
    return [problem("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {listed}", info)]
