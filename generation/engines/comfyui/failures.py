"""Why the execution of a graph failed, for the person who asked for the image."""

import re

from generation.engines.comfyui.answers import ExecutionError
from generation.engines.comfyui.refusals import LORA_LOADERS

MAX_CHARACTERS = 300
OUT_OF_MEMORY = "The GPU ran out of memory, also after it was freed. Ask for a smaller image."
INTERRUPTED = "Somebody interrupted the image on the ComfyUI server."

# Folders of the server are no business of the people who use it; the file's own name is kept.
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+")


def is_out_of_memory(error: ExecutionError) -> bool:
    return "OutOfMemory" in error.exception_type or "out of memory" in error.exception_message.lower()


def explain_failure(error: ExecutionError) -> str:
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    message = _first_line(error.exception_message) or error.exception_type or "no reason given"
    if error.node_type in LORA_LOADERS:
        return f"ComfyUI could not load the LoRA file, which may be damaged or gone: {message}"
    return f"ComfyUI failed in {error.node_type or 'an unnamed node'}: {message}"


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return _FOLDERS.sub("", lines[0])[:MAX_CHARACTERS] if lines else ""
