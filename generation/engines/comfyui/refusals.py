"""Why ComfyUI refused a graph, for the person who asked for the image.

ComfyUI's own `details` are never passed on: they list the names of everybody's files.
"""

from collections.abc import Iterator

from generation.engines.comfyui.answers import NodeRefusal, PromptAnswer, Reason
from generation.engines.comfyui.catalogue import FOLDERS, NOT_FILES

LORA_LOADERS = frozenset({"LoraLoader", "LoraLoaderModelOnly"})


def explain_refusal(answer: PromptAnswer) -> str:
    sentences = dict.fromkeys(_sentences(answer))
    if sentences:
        return " ".join(sentences)
    message = answer.error.message if answer.error and answer.error.message else "it did not say why"
    return f"ComfyUI refused the graph: {message.rstrip('.')}."


def _sentences(answer: PromptAnswer) -> Iterator[str]:
    for refusal in answer.node_errors.values():
        for reason in refusal.errors:
            yield _sentence(refusal, reason)


def _sentence(refusal: NodeRefusal, reason: Reason) -> str:
    if refusal.class_type in LORA_LOADERS and reason.type == "exception_during_inner_validation":
        return "The ComfyUI server cannot list its LoRA files; its LoRA folder may have been deleted."
    if reason.type == "value_not_in_list":
        return _missing(refusal.class_type, reason)
    name = str(reason.extra_info.get("input_name", ""))
    where = f"{refusal.class_type}.{name}" if name else refusal.class_type
    return f"ComfyUI refused the graph at {where}: {reason.message.rstrip('.')}."


def _missing(class_type: str, reason: Reason) -> str:
    value = str(reason.extra_info.get("received_value", ""))
    if class_type in LORA_LOADERS:
        return f"The LoRA file is not visible to the ComfyUI server: {value} is not below its LoRA folder."
    if class_type in FOLDERS and reason.extra_info.get("input_name") not in NOT_FILES:
        return f"The ComfyUI server lacks the model file {value} in its folder models/{FOLDERS[class_type]}."
    return f"The ComfyUI server does not offer {value!r} for {class_type}.{reason.extra_info.get('input_name', '')}."
