"""What to tell the person whose training failed: from the exit status and the last lines on the console."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.errors import EngineFailed

_FALLBACK_LINES = 15
_REPORTED = "Error running job: "
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt): .+|[A-Za-z_][\w.]*Error")


@dataclass(frozen=True, slots=True)
class _Cause:
    """`advice` may use the groups of `pattern` by name."""

    pattern: re.Pattern[str]
    advice: str
    is_retryable: bool = False


def _cause(pattern: str, advice: str, *, is_retryable: bool = False) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), advice, is_retryable)


# In this order: the first that fits wins.
_CAUSES = (
    _cause(
        r"No space left on device|Disk quota exceeded|database or disk is full",
        "The disk is full: free some space on the training machine, then run the job again.",
    ),
    _cause(
        r"out of memory|OOM during training",
        "The GPU ran out of memory: choose a lower resolution, batch size or LoRA rank, or free the GPU.",
    ),
    _cause(
        r"gated|is restricted|(401|403) Client Error|must be authenticated|not in the authorized list",
        "Access to the base model is restricted: accept its licence on huggingface.co, then set HF_TOKEN.",
    ),
    _cause(
        r"Repository Not Found|RepositoryNotFound|404 Client Error|is not a valid model identifier",
        "The base model was not found on huggingface.co: it was moved, or HF_TOKEN may not see it.",
    ),
    _cause(
        r"couldn't connect to|Cannot send a request, as the client|Max retries exceeded|ConnectionError|ConnectTimeout"
        r"|Name or service not known|name resolution|LocalEntryNotFound|Network is unreachable",
        "The base model could not be downloaded: check that the training machine reaches huggingface.co.",
        is_retryable=True,
    ),
    _cause(
        r"no images found in|Found 0 images",
        "ai-toolkit found no usable training images: upload JPEG, PNG or WebP pictures.",
    ),
    _cause(
        r"No module named '?(?P<module>[\w.]+)'?",
        "ai-toolkit lacks the Python package {module}: install its requirements for AI_TOOLKIT_PYTHON.",
    ),
    _cause(
        r"No CUDA GPUs are available|Found no NVIDIA driver|CUDA driver|CUDA error",
        "The GPU does not work: check the driver on the training machine and CUDA_VISIBLE_DEVICES.",
        is_retryable=True,
    ),
    _cause(
        r"Error while deserializing header",
        "The newest checkpoint is damaged: run the job again, and it goes on from the one before.",
        is_retryable=True,
    ),
)


def explain_failure(exit_status: int, tail: Sequence[str]) -> EngineFailed:
    """`exit_status` as subprocess gives it, negative for a signal; `tail` is the end of the console, oldest first."""
    if exit_status < 0:
        return _explain_signal(-exit_status)
    errors = _errors(_closing_lines(tail)) or ["it printed nothing."]
    for cause in _CAUSES:
        match = cause.pattern.search("\n".join(errors))
        if match is not None:
            return EngineFailed(cause.advice.format(**match.groupdict()), is_retryable=cause.is_retryable)
    return EngineFailed(f"ai-toolkit failed with exit code {exit_status}: {errors[0].strip()}")


def _explain_signal(number: int) -> EngineFailed:
    name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        text = f"The trainer was killed ({name}): most often the machine ran out of memory (RAM, not the GPU's)."
    else:
        text = f"The trainer was killed by {name}: look at the job's log and the machine's, then run the job again."
    return EngineFailed(text, is_retryable=True)


def _closing_lines(tail: Sequence[str]) -> list[str]:
    """Leave out what was printed before the error: a skipped batch or a warning is not why it ended."""
    starts = [index for index, line in enumerate(tail) if line.startswith(_REPORTED)]
    starts = starts or [index for index, line in enumerate(tail) if line.startswith("Traceback ")]
    return list(tail[starts[-1] :] if starts else tail[-_FALLBACK_LINES:])


def _errors(lines: Sequence[str]) -> list[str]:
    """Return the error as ai-toolkit reports it, then as Python does; failing both, the last line.

    Everything else is left out: libraries warn of missing packages in words that fit the causes above.
    """
    reported = [line.removeprefix(_REPORTED) for line in lines if line.startswith(_REPORTED)]
    exceptions = [line for line in reversed(lines) if _EXCEPTION.fullmatch(line)]
    return reported + exceptions or list(lines[-1:])
