"""What a server lacks for a workflow of the operator, and what does not fit, by what it declares of its nodes."""

from collections.abc import Iterator

from generation.engines.comfyui.catalogue import FOLDERS, NOT_FILES, Catalogue
from generation.engines.comfyui.lacks import missing_node
from generation.engines.comfyui.landmarks import MODEL_SUFFIXES
from generation.engines.comfyui.nodes import Node
from generation.workflows.mapping import TYPES, LoraPoint, Parameter, Place, Source
from generation.workflows.workflow import Workflow

ANYTHING = "*"
LITERALS = frozenset({"STRING", "INT", "FLOAT", "BOOLEAN"})


def lacks_of_workflow(workflow: Workflow, catalogue: Catalogue) -> tuple[str, ...]:
    """Return each missing node, file and choice once, in words."""
    return tuple(dict.fromkeys(_lacks(workflow, catalogue)))


def misfit_of_workflow(workflow: Workflow, catalogue: Catalogue) -> str | None:
    """Return what is wrong with the map file by what the server says, None if nothing is."""
    return next(_misfits(workflow, catalogue), None)


def _lacks(workflow: Workflow, catalogue: Catalogue) -> Iterator[str]:
    for node_id, node in workflow.graph.items():
        if not catalogue.has(node["class_type"]):
            yield missing_node(node["class_type"])
            continue
        for name, value in node["inputs"].items():
            if (node_id, name) not in workflow.set_places and not isinstance(value, tuple):
                yield from _lack(node, name, catalogue)


def _lack(node: Node, name: str, catalogue: Catalogue) -> Iterator[str]:
    class_type, value = node["class_type"], node["inputs"][name]
    options = catalogue.options(class_type, name)
    if options is None or value in options or _is_elsewhere(class_type, value):
        return
    if class_type in FOLDERS and name not in NOT_FILES:
        yield f"{value} in models/{FOLDERS[class_type]}"
    elif str(value).lower().endswith(MODEL_SUFFIXES):
        yield f"the file {value} for {class_type}.{name}"
    else:
        yield f"the choice {value} of {class_type}.{name}"


def _is_elsewhere(class_type: str, value: object) -> bool:
    """ComfyUI lists only the top of its input folder, and takes files from folders below it and of other kinds too."""
    return class_type.startswith("LoadImage") and ("/" in str(value) or str(value).endswith("]"))


def _misfits(workflow: Workflow, catalogue: Catalogue) -> Iterator[str]:
    for name, places in workflow.mapping.inputs.items():
        for place in places:
            yield from _misfit(workflow, catalogue, name=name, place=place)
    if isinstance(workflow.mapping.loras, LoraPoint):
        yield from _wrong_output(workflow, catalogue, workflow.mapping.loras.model, wanted="MODEL")
        if workflow.mapping.loras.clip:
            yield from _wrong_output(workflow, catalogue, workflow.mapping.loras.clip, wanted="CLIP")


def _misfit(workflow: Workflow, catalogue: Catalogue, *, name: Parameter, place: Place) -> Iterator[str]:
    class_type = workflow.graph[place.node]["class_type"]
    # Inputs that grow by use have a dot in their name, and are not declared one by one.
    if not catalogue.has(class_type) or "." in place.input:
        return
    declared = catalogue.declared_type(class_type, place.input)
    if declared is None:
        yield f"{name}: the node {class_type} of the server has no input {place.input}"
    elif declared in LITERALS and declared not in _fitting(name):
        yield f"{name}: the input {place.input} of {class_type} is of the type {declared}"


def _fitting(name: Parameter) -> tuple[str, ...]:
    if str in TYPES[name]:
        return ("STRING",)
    # A fraction in a whole number's place would be cut off without a word.
    return ("FLOAT",) if float in TYPES[name] else ("INT", "FLOAT")


def _wrong_output(workflow: Workflow, catalogue: Catalogue, source: Source, *, wanted: str) -> Iterator[str]:
    class_type = workflow.graph[source.node]["class_type"]
    outputs = catalogue.outputs(class_type)
    given = outputs[source.output] if source.output < len(outputs) else ""
    if outputs and given not in (wanted, ANYTHING):
        yield f"loras: output {source.output} of {class_type} is no {wanted}"
