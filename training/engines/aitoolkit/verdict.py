"""Whether a training that ended really produced its LoRA: ai-toolkit exits with 0 also when it was stopped half-way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from base_models import find
from characters.safetensors_files import (
    Header,
    LoraRefused,
    check_expected,
    check_learned,
    check_numbers,
    read_header,
)
from jobs.errors import EngineFailed
from jobs.events import Finished
from training.engines.aitoolkit.checkpoints import step_of
from training.engines.aitoolkit.failures import explain_failure
from training.engines.order import TrainingOrder

STOPPED = "Job stopped"


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
    """Raises EngineFailed unless the LoRA is there, new, whole, of the asked length and rank, and has learned."""
    if ending.exit_status != 0:
        raise explain_failure(ending.exit_status, ending.console_tail)
    if STOPPED in ending.console_tail:
        raise EngineFailed("The trainer was interrupted from outside: run the job again.", is_retryable=True)
    version = version_of(ending.model)
    if version is None or version == ending.earlier:
        raise EngineFailed("ai-toolkit ended without an error but wrote no LoRA: see the job's log.")
    return Finished(model=ending.model, details=_describe(_examine(ending.model, order), order))


def _examine(model: Path, order: TrainingOrder) -> Header:
    try:
        with model.open("rb") as content:
            return _examined(content, order)
    except LoraRefused as refused:
        raise EngineFailed(
            f"ai-toolkit wrote a LoRA that cannot be used. {refused}", cause="unusable_lora"
        ) from refused
    except OSError as exc:
        raise EngineFailed(f"The LoRA that ai-toolkit wrote cannot be read: {exc.strerror}.") from exc


def _examined(content: IO[bytes], order: TrainingOrder) -> Header:
    header = read_header(content)
    _check_step(header, order.params.steps)
    training = find(order.base_model).training
    if training is not None:
        check_expected(header.tensors, training, rank=order.params.lora_rank)
    check_numbers(content, header)
    check_learned(content, header)
    return header


def _check_step(header: Header, steps: int) -> None:
    step = step_of(header.metadata)
    if step != steps:
        raise EngineFailed(f"ai-toolkit's LoRA says that it is of step {step} instead of {steps}.")


def _describe(header: Header, order: TrainingOrder) -> dict[str, object]:
    return {
        "step": order.params.steps,
        "rank": order.params.lora_rank,
        "tensor_count": len(header.tensors),
        "base_model": order.base_model,
        "trigger_word": order.trigger_word,
    }
