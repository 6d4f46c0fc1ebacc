"""Errors that appear in a traceback under the names the real program's libraries give them.

Whoever reads the console sees only the last line of a traceback, so that line must name the class it would name there.
"""

from collections.abc import Callable
from typing import TypeVar

Shown = TypeVar("Shown", bound=type[BaseException])

CUDA_OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 36.00 MiB. GPU 0 has a total capacity of 23.64 GiB of which "
    "19.06 MiB is free. Including non-PyTorch memory, this process has 23.61 GiB memory in use."
)


def shown_as(module: str, name: str) -> Callable[[Shown], Shown]:
    """Make tracebacks print the decorated class as `module.name`."""

    def rename(shown: Shown) -> Shown:
        shown.__module__ = module
        shown.__qualname__ = name
        return shown

    return rename


@shown_as("builtins", "Exception")
class JobStopped(Exception):
    """The job row asked for a stop or for a return to the queue."""


@shown_as("torch", "OutOfMemoryError")
class OutOfMemoryError(RuntimeError):
    """The GPU has no memory left."""

    def __init__(self, message: str = CUDA_OUT_OF_MEMORY) -> None:
        super().__init__(message)


@shown_as("huggingface_hub.errors", "GatedRepoError")
class GatedRepoError(OSError):
    """The hub knows the model, but this account may not download it."""
