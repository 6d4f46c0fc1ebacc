"""Why the execution of a graph failed, for the person who asked for the image.

ComfyUI's own words name folders of the server and files of other people. They are repeated only without those.
"""

import errno
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from generation.engines.comfyui.answers import ExecutionError
from generation.engines.comfyui.refusals import LORA_LOADERS
from jobs.errors import EngineAtFault, EngineFailed

MAX_CHARACTERS = 300
DISK_FULL = "The disk is full: free some space on the generation worker's machine, then run the job again."
OUT_OF_MEMORY = "The GPU ran out of memory, also after it was freed. Ask for a smaller image."
INTERRUPTED = "Somebody interrupted the image on the ComfyUI server."


class _Known(NamedTuple):
    pattern: re.Pattern[str]
    sentence: str
    cause: str


def _known(pattern: str, sentence: str, cause: str) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE), sentence, cause)


_KNOWN = (
    _known(r"no space left|disk quota", "The disk of the ComfyUI server is full.", "disk_full"),
    _known(r"read-only file system", "The ComfyUI server cannot write to its disk: it is read-only.", "disk_full"),
    _known(r"permission denied", "The ComfyUI server may not read or write one of its files.", "permission"),
    _known(
        r"no kernel image|CUDA driver|CUDA-capable device|found no nvidia driver",
        "The GPU of the ComfyUI server cannot be used: its driver, its CUDA and its PyTorch do not fit together.",
        "cuda",
    ),
    _known(r"CUDA error|cuDNN error|CUBLAS", "The GPU of the ComfyUI server failed; it may need a restart.", "cuda"),
    _known(
        r"shapes? cannot be multiplied|size mismatch|must match the size|expected.*channels",
        "The model files on the ComfyUI server do not fit together.",
        "model_mismatch",
    ),
    _known(
        r"could not detect model type|invalid header|header ?too ?(large|small)|incomplete metadata|Deserializ",
        "A model file on the ComfyUI server is damaged or of another kind.",
        "model_damaged",
    ),
)
# "/srv/x y" cannot be told from two words, so that anything quoted counts as one piece.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_WORD = re.compile(r"\S+")
_FILE = re.compile(r"\.(safetensors|sft|ckpt|pt2?|pth|bin|gguf|png|jpe?g|webp|json|yaml|py)\b", re.IGNORECASE)


def is_out_of_memory(error: ExecutionError) -> bool:
    return "OutOfMemory" in error.exception_type or "out of memory" in error.exception_message.lower()


def failure_of(error: ExecutionError, *, own_files: Collection[str]) -> EngineFailed:
    """Return what to raise. `own_files` are the bare names that may be repeated: those in the graph itself."""
    if is_out_of_memory(error):
        # Another server may have a larger GPU; this one is well.
        return EngineAtFault(OUT_OF_MEMORY, is_broken=False, cause="out_of_memory")
    if error.node_type in LORA_LOADERS:
        reason = _clean(error, own_files)
        sentence = f"ComfyUI could not load the LoRA file, which may be damaged or gone{reason}."
        return EngineFailed(sentence, cause="lora_unreadable")
    known = next((known for known in _KNOWN if known.pattern.search(error.exception_message)), None)
    if known:
        return EngineAtFault(f"{known.sentence} It failed in {_node(error)}.", cause=known.cause)
    return EngineAtFault(f"ComfyUI failed in {_node(error)}{_clean(error, own_files)}.", cause="engine_error")


def _node(error: ExecutionError) -> str:
    return error.node_type or "an unnamed node"


def _clean(error: ExecutionError, own_files: Collection[str]) -> str:
    """Return the first line without folders and without files that are not ours; the type where nothing is left."""
    lines = error.exception_message.strip().splitlines()
    text = lines[0] if lines else ""
    for pattern in (_QUOTED, _WORD):
        text = "".join(_pieces(pattern, text, own_files))
    if not text or "/" in text or "\\" in text:
        text = error.exception_type.rpartition(".")[2]
    return f": {text[:MAX_CHARACTERS].rstrip('. ')}" if text else ""


def _pieces(pattern: re.Pattern[str], text: str, own_files: Collection[str]) -> Iterator[str]:
    end = 0
    for match in pattern.finditer(text):
        yield text[end : match.start()]
        yield _harmless(match.group(), own_files)
        end = match.end()
    yield text[end:]


def _harmless(piece: str, own_files: Collection[str]) -> str:
    is_path = "/" in piece or "\\" in piece
    if not is_path and not _FILE.search(piece):
        return piece
    name = piece.strip("'\"`()[]{},;:.").replace("\\", "/").rpartition("/")[2]
    return name if name in own_files else "a file"


def explain_os_error(error: OSError, *, what: str) -> EngineFailed:
    """Say that `what` ("The image") could not be written here. A full disk stays full until somebody makes room."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EngineFailed(DISK_FULL, cause="disk_full")
    return EngineFailed(f"{what} could not be written: {error.strerror or error}.", is_retryable=True)
