"""Whether a training that ended really produced its LoRA: ai-toolkit exits with 0 also when it was stopped half-way."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import EngineFailed
from jobs.events import Finished
from training.engines.aitoolkit.checkpoints import Header, IncompleteFileError, read_header
from training.engines.aitoolkit.failures import explain_failure
from training.engines.order import TrainingOrder

_STOPPED = "Job stopped"
_LORA_KEY = re.compile(r"transformer\..+\.lora_(?P<half>[AB])\.weight")
_RANK_AXIS = {"A": 0, "B": 1}


@dataclass(frozen=True, slots=True)
class Version:
    """Tells a file from an earlier one of the same name without trusting the clock: a save is a new file, renamed."""

    inode: int
    modified_ns: int


def version_of(path: Path) -> Version | None:
    """Return None where there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Version(status.st_ino, status.st_mtime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended. `earlier` is the version of the model file before it started."""

    exit_status: int
    console_tail: Sequence[str]
    model: Path
    earlier: Version | None


def judge(ending: Ending, order: TrainingOrder) -> Finished:
    """Raises EngineFailed unless the LoRA is there, new, whole and of the asked length and rank."""
    if ending.exit_status != 0:
        raise explain_failure(ending.exit_status, ending.console_tail)
    if _STOPPED in ending.console_tail:
        raise EngineFailed("The trainer was interrupted from outside: run the job again.", is_retryable=True)
    header = _read_model(ending)
    _check_step(header, order.params.steps)
    _check_tensors(header.shapes, order.params.lora_rank)
    return Finished(model=ending.model, details=_describe(header, order))


def _read_model(ending: Ending) -> Header:
    version = version_of(ending.model)
    if version is None or version == ending.earlier:
        raise EngineFailed("ai-toolkit ended without an error but wrote no LoRA: see the job's log.")
    try:
        return read_header(ending.model)
    except IncompleteFileError as exc:
        raise EngineFailed("The LoRA that ai-toolkit wrote is incomplete: see the job's log.") from exc


def _check_step(header: Header, steps: int) -> None:
    if header.step != steps:
        raise EngineFailed(f"ai-toolkit's LoRA says that it is of step {header.step} instead of {steps}.")


def _check_tensors(shapes: Mapping[str, tuple[int, ...]], rank: int) -> None:
    if not shapes:
        raise EngineFailed("ai-toolkit's LoRA is empty.")
    for key, shape in shapes.items():
        match = _LORA_KEY.fullmatch(key)
        if match is None:
            raise EngineFailed(f"ai-toolkit's LoRA has a tensor that no FLUX LoRA has: {key}.")
        if len(shape) != 2 or shape[_RANK_AXIS[match["half"]]] != rank:
            raise EngineFailed(f"ai-toolkit's LoRA is not of rank {rank}: {key} is {shape}.")


def _describe(header: Header, order: TrainingOrder) -> dict[str, object]:
    return {
        "step": order.params.steps,
        "rank": order.params.lora_rank,
        "tensor_count": len(header.shapes),
        "base_model": order.base_model,
        "trigger_word": order.trigger_word,
    }
