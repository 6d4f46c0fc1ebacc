"""What to tell the person whose training failed: from the exit status and the last lines on the console."""

import errno
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from jobs.errors import EngineFailed
from training.engines.aitoolkit.causes import explain

DISK_FULL = "The disk is full: free some space on the training machine, then run the job again."
# Less than a block or two of any file system.
_NO_ROOM_BYTES = 65_536
_FALLBACK_LINES = 15
_SHOWN_CHARACTERS = 300
_REPORTED = "Error running job: "
_RULE = "=" * 20
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt): .+|[A-Za-z_][\w.]*Error")
_GPU_MEMORY = re.compile(r"out of memory|OOM during training|STATUS_ALLOC_FAILED", re.IGNORECASE)
_MACHINE_MEMORY = re.compile(r"out of shared memory|CPU out of memory", re.IGNORECASE)
_UNREADABLE = re.compile(
    r"cannot identify image file|image file is truncated|broken (?:PNG|data stream)|UnidentifiedImage|Truncated File"
    r"|decoder error|unrecognized data stream|DecompressionBomb",
    re.IGNORECASE,
)
_PICTURE = re.compile(r"Error (?:processing|loading) image.*?: (?P<path>\S.*?\.(?:png|jpe?g|webp))\b", re.IGNORECASE)
# Which part of ai-toolkit a frame of a traceback belongs to, by the names of its functions; the first that fits wins.
_PARTS: Mapping[str, re.Pattern[str]] = {
    "load": re.compile(r", in load_model$", re.MULTILINE),
    "sample": re.compile(r", in (?:sample|generate_images)$", re.MULTILINE),
    "prepare": re.compile(r", in (?:cache_latents\w*|cache_text_embeddings|get_dataloader_\w+)$", re.MULTILINE),
}
_OUT_OF_MEMORY = {
    "load": "The GPU ran out of memory while it loaded the base model: free the GPU (other programs on it, ComfyUI "
    "among them, hold memory), or choose a smaller base model.",
    "sample": "The GPU ran out of memory while it made sample pictures: choose a lower resolution, or free the GPU.",
    "prepare": "The GPU ran out of memory while it prepared the images: choose a lower resolution, or free the GPU.",
    "step": "The GPU ran out of memory in a training step: choose a lower resolution, batch size or LoRA rank, or free "
    "the GPU.",
}
_MACHINE_MEMORY_FULL = (
    "The kernel killed the trainer because the machine ran out of memory (RAM, not the GPU's): close other programs "
    "there or give it more, then run the job again."
)
_FROM_OUTSIDE = "from outside: somebody or something on the training machine asked it to end"
_SIGNALS: Mapping[int, str] = {
    signal.SIGKILL: "from outside, or because its machine or container ran out of memory (RAM, not the GPU's)",
    signal.SIGTERM: _FROM_OUTSIDE,
    signal.SIGINT: _FROM_OUTSIDE,
    signal.SIGSEGV: "a crash in its native code: look at the GPU's driver and at AI_TOOLKIT_PYTHON's packages",
    signal.SIGBUS: "because memory or a disk failed it: look at the disk space and the shared memory of its machine",
    signal.SIGABRT: "by its own native code: look at the last lines of the job's log",
}


def explain_failure(
    exit_status: int,
    tail: Sequence[str],
    *,
    picture_names: Mapping[str, str] | None = None,
    did_memory_run_out: bool = False,
) -> EngineFailed:
    """`exit_status` as subprocess gives it, negative for a signal; `tail` is the end of the console, oldest first.

    `picture_names`: how people know the staged pictures, by file name. `did_memory_run_out`: the kernel killed
    something for memory while the trainer ran.
    """
    if exit_status < 0:
        return _explain_signal(-exit_status, did_memory_run_out=did_memory_run_out)
    closing = _closing_lines(tail)
    errors = _errors(closing) or ["it printed nothing."]
    text = "\n".join(errors)
    if _GPU_MEMORY.search(text) and not _MACHINE_MEMORY.search(text):
        return _out_of_memory(text, "\n".join(closing))
    if _UNREADABLE.search(text):
        return _bad_image(tail, picture_names or {})
    return explain(text) or _unknown(exit_status, errors[0])


def explain_os_error(error: OSError) -> EngineFailed | None:
    """Return what there is to say of a file that could not be written; None where it was something else."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EngineFailed(DISK_FULL, cause="disk_full")
    return None


def is_disk_full(folder: Path) -> bool:
    """Return whether nothing more can be written there, as far as anybody can tell."""
    try:
        return shutil.disk_usage(folder).free < _NO_ROOM_BYTES
    except OSError:
        return False


def picture_in(line: str) -> str | None:
    """Return the file name of the picture that ai-toolkit says it cannot read; None for any other line."""
    match = _PICTURE.search(line)
    return PurePosixPath(match["path"]).name if match else None


def _out_of_memory(text: str, traceback: str) -> EngineFailed:
    in_step = "OOM during training" in text
    parts = [] if in_step else [part for part, frame in _PARTS.items() if frame.search(traceback)]
    return EngineFailed(_OUT_OF_MEMORY[parts[0] if parts else "step"], cause="out_of_memory")


def _bad_image(tail: Sequence[str], names: Mapping[str, str]) -> EngineFailed:
    staged = next((picture for picture in map(picture_in, reversed(tail)) if picture), None)
    which = f"image {names.get(staged, staged)}" if staged else "images"
    verb = "upload it again or remove it" if staged else "upload them again"
    return EngineFailed(f"ai-toolkit cannot read the training {which}: {verb}, then start again.", cause="bad_image")


def _unknown(exit_status: int, error: str) -> EngineFailed:
    shown = without_folders(error.strip())[:_SHOWN_CHARACTERS]
    return EngineFailed(f"ai-toolkit failed with exit code {exit_status}: {shown}", cause="engine_error")


def without_folders(text: str) -> str:
    """Leave of each absolute path only the name at its end: who asked for the job need not know the machine."""
    return re.sub(r"(?<![\w:/.~-])/(?:[^\s/'\"`:,;()\[\]<>]+/)+", "", text)


def _explain_signal(number: int, *, did_memory_run_out: bool) -> EngineFailed:
    if number == signal.SIGKILL and did_memory_run_out:
        return EngineFailed(_MACHINE_MEMORY_FULL, is_retryable=True, cause="machine_memory_full")
    name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    text = f"The trainer was killed by {name}, {_SIGNALS.get(number, 'for a reason that its log may tell')}."
    return EngineFailed(text, is_retryable=True, cause="killed")


def _closing_lines(tail: Sequence[str]) -> list[str]:
    """Leave out what was printed before the error: a skipped batch or a warning is not why it ended."""
    starts = [index for index, line in enumerate(tail) if line.startswith(_REPORTED)]
    starts = starts or [index for index, line in enumerate(tail) if line.startswith("Traceback ")]
    return list(tail[starts[-1] :] if starts else tail[-_FALLBACK_LINES:])


def _errors(lines: Sequence[str]) -> list[str]:
    """Return the error as ai-toolkit reports it, then as Python does; failing both, the last line.

    Everything else is left out: libraries warn of missing packages in words that fit the causes too.
    """
    exceptions = [line for line in reversed(lines) if _EXCEPTION.fullmatch(line)]
    return _reported(lines) + exceptions or list(lines[-1:])


def _reported(lines: Sequence[str]) -> list[str]:
    """Return the lines of the message: what the hub answers has several."""
    if not lines or not lines[0].startswith(_REPORTED):
        return []
    ends = [index for index, line in enumerate(lines) if line.startswith((_RULE, "Traceback "))]
    message = lines[: ends[0]] if ends else lines[:1]
    return [line.removeprefix(_REPORTED) for line in message]
