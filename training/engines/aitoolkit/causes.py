"""What ai-toolkit and its libraries print when they fail, what it means, and what to do about it.

Each cause has a word for programs (`EngineFailed.cause`), and says whether the same job could succeed later.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.errors import EngineFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`advice` may use the groups of `pattern` by name, and as `found` all that it matched."""

    name: str
    pattern: re.Pattern[str]
    advice: str
    is_retryable: bool = False


def explain(text: str) -> EngineFailed | None:
    """Return what the first cause says whose pattern is in the text; None where no cause is known."""
    for cause in _CAUSES:
        match = cause.pattern.search(text)
        if match is not None:
            advice = cause.advice.format(found=match[0], **match.groupdict())
            return EngineFailed(advice, is_retryable=cause.is_retryable, cause=cause.name)
    return None


def _cause(name: str, advice: str, patterns: Iterable[str], *, is_retryable: bool = False) -> Cause:
    pattern = re.compile("|".join(patterns), re.IGNORECASE | re.MULTILINE)
    return Cause(name=name, pattern=pattern, advice=advice, is_retryable=is_retryable)


# In this order: the first that fits wins. What names its reason stands before what only says that something failed.
_CAUSES = (
    _cause(
        "shared_memory_full",
        "A data loader ran out of shared memory: give the training machine or its container more of it (docker: "
        "--shm-size=8g), then run the job again.",
        (r"out of shared memory", r"insufficient shared memory", r"DataLoader worker.*Bus error"),
    ),
    _cause(
        "disk_full",
        "The disk is full: free some space on the training machine, then run the job again.",
        (r"No space left on device", r"Disk quota exceeded", r"database or disk is full"),
    ),
    _cause(
        "machine_memory_full",
        "The machine ran out of memory (RAM, not the GPU's): close other programs or give it more, then run the job "
        "again.",
        (
            r"DataLoader worker.*killed by signal: Killed",
            r"Cannot allocate memory",
            r"^MemoryError",
            r"DefaultCPUAlloc",
        ),
    ),
    _cause(
        "no_kernel_image",
        "The installed PyTorch was not built for this GPU: install the PyTorch build for its generation and CUDA "
        "version where AI_TOOLKIT_PYTHON is.",
        (r"no kernel image is available", r"CUDA capability .* is not compatible"),
    ),
    _cause(
        "driver_too_old",
        "The NVIDIA driver is too old for the installed PyTorch: update the driver on the training machine, or install "
        "a PyTorch built for an older CUDA version.",
        (r"driver on your system is too old", r"CUDA driver version is insufficient", r"forward compatibility was att"),
    ),
    _cause(
        "no_cuda_build",
        "The installed PyTorch cannot use a GPU: install a build with CUDA where AI_TOOLKIT_PYTHON is.",
        (r"Torch not compiled with CUDA enabled", r"PyTorch .*without CUDA"),
    ),
    _cause(
        "bitsandbytes",
        "bitsandbytes does not work with this machine's CUDA: reinstall it where AI_TOOLKIT_PYTHON is, or choose the "
        "optimizer adamw, which does without it.",
        (r"bitsandbytes.*(?:without GPU|CUDA Setup|not found|failed)", r"CUDA Setup failed", r"libbitsandbytes"),
    ),
    _cause(
        "device_assert",
        "The GPU refused an operation of the training (a device-side assert): run the job again with another "
        "resolution or precision, and if that fails too, with other images.",
        (r"device-side assert",),
    ),
    _cause(
        "gpu",
        "The GPU does not work: look at nvidia-smi and the kernel's log on the training machine, check "
        "CUDA_VISIBLE_DEVICES, then run the job again.",
        (
            r"No CUDA GPUs are available",
            r"Found no NVIDIA driver",
            r"CUDA driver",
            r"CUDA error",
            r"CUDA unknown error",
            r"cuDNN error",
            r"CUBLAS_STATUS_(?!ALLOC_FAILED)",
            r"uncorrectable ECC error",
            r"GPU has fallen off the bus",
        ),
        is_retryable=True,
    ),
    _cause(
        "gated_model",
        "Access to the base model is restricted: accept its licence on huggingface.co with the account of HF_TOKEN, "
        "and set HF_TOKEN on the training machine.",
        (r"\bgated\b", r"is restricted", r"not in the authorized list", r"GatedRepo"),
    ),
    _cause(
        "model_not_found",
        "The base model was not found on huggingface.co: it was moved, or HF_TOKEN is missing or may not see it.",
        (
            r"Repository Not Found",
            r"Repo(?:sitory)?NotFound",
            r"Revision Not Found",
            r"Entry Not Found",
            r"404 Client Error",
            r"is not a valid model identifier",
            r"is not a valid git identifier",
        ),
    ),
    _cause(
        "bad_token",
        "huggingface.co refused the access token: set HF_TOKEN on the training machine to one that is valid and may "
        "read the base model.",
        (r"(?:401|403) Client Error", r"Invalid user token", r"must be authenticated", r"Invalid credentials"),
    ),
    _cause(
        "model_not_cached",
        "The base model is not on the training machine, and downloads are turned off there: put its files in place or "
        "unset HF_HUB_OFFLINE.",
        (
            r"outgoing traffic has been disabled",
            r"offline mode is enabled",
            r"OfflineModeIsEnabled",
            r"When using the offline mode",
        ),
    ),
    _cause(
        "no_network",
        "The base model could not be downloaded: check that the training machine reaches huggingface.co.",
        (
            r"couldn't connect to",
            r"Cannot send a request, as the client",
            r"Max retries exceeded",
            r"Connection(?:Reset|Refused|Aborted)?Error",
            r"(?:Connect|Read)Timeout",
            r"(?:Connect|Read)Error",
            r"Server disconnected",
            r"Name or service not known",
            r"name resolution",
            r"LocalEntryNotFound",
            r"while trying to locate the file on the Hub",
            r"Network is unreachable",
            r"\b(?:429|5\d\d) (?:Client|Server) Error",
        ),
        is_retryable=True,
    ),
    _cause(
        "model_damaged",
        "The base model is missing or damaged on the training machine: unset HF_HUB_OFFLINE there, or put its files in "
        "place; where it was downloaded before, remove it from the cache first.",
        (
            r"does not appear to have a file named",
            r"Error no file named",
            r"Unable to load weights from checkpoint file",
            r"is not a valid JSON file",
            r"Can't load (?:config|tokenizer|the configuration)",
            r"Consistency check failed",
        ),
    ),
    _cause(
        "no_images",
        "ai-toolkit found no usable training images: upload JPEG, PNG or WebP pictures.",
        (r"no images found in", r"Found 0 images"),
    ),
    _cause(
        "wrong_version",
        "This ai-toolkit does not fit ({found}): install a version that Isengard's docs/engines.md names as tested.",
        (
            r"Unknown process type: \w+",
            r"Unknown job type \w+",
            r"no such (?:column|table): \w+",
            r"unrecognized arguments: \S+",
        ),
    ),
    _cause(
        "mismatched_packages",
        "The Python packages of AI_TOOLKIT_PYTHON do not fit together ({found}): install ai-toolkit's requirements "
        "anew, in an environment of their own.",
        (
            r"operator \S+ does not exist",
            r"undefined symbol: \w+",
            r"cannot import name '\w+'",
            r"PyTorch and torchvision.*different CUDA",
            r"[\w.]+: cannot open shared object file",
        ),
    ),
    _cause(
        "missing_package",
        "ai-toolkit lacks the Python package {module}: install its requirements for AI_TOOLKIT_PYTHON. One missing "
        "package stops every training, also where it needs nothing of it.",
        (r"No module named '?(?P<module>[\w.]+)'?",),
    ),
    _cause(
        "damaged_checkpoint",
        "The newest checkpoint is damaged: run the job again, and it goes on from the one before.",
        (r"Error while deserializing", r"SafetensorError"),
        is_retryable=True,
    ),
)
