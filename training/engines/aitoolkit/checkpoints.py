"""Which of the trainer's files are whole, and where a run goes on from."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from characters.safetensors_files import LoraRefused, check_numbers, read_header


class IncompleteFileError(ValueError):
    """The file is not a complete safetensors file."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    path: Path
    step: int


def read_step(path: Path) -> int | None:
    """Return the optimizer step that ai-toolkit wrote down, which is where a resumed run begins; None for none.

    Raises IncompleteFileError, also when the tensors' bytes are not all there, and OSError.
    """
    try:
        with path.open("rb") as content:
            return step_of(read_header(content).metadata)
    except LoraRefused as refused:
        raise IncompleteFileError(f"{path.name}: {refused}") from refused


def step_of(metadata: Mapping[str, str]) -> int | None:
    try:
        info = json.loads(metadata.get("training_info", ""))
    except ValueError:
        return None
    step = info.get("step") if isinstance(info, dict) else None
    return step if isinstance(step, int) and not isinstance(step, bool) else None


def list_saves(folder: Path, name: str) -> list[Path]:
    """List the saves of a step, `NAME_000000250.safetensors`, by step; not the final file."""
    pattern = re.compile(re.escape(name) + r"_\d{9}\.safetensors")
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))


def is_sound(path: Path) -> bool:
    """Return whether the file is whole and all its numbers are finite. Reads all of it."""
    try:
        with path.open("rb") as content:
            check_numbers(content, read_header(content))
    except LoraRefused:
        return False
    return True


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return None for a file that is gone, not whole or without a step."""
    try:
        step = read_step(path)
    except (IncompleteFileError, OSError):
        return None
    return Checkpoint(path, step) if step is not None else None


def adopt_checkpoint(source: Path, folder: Path, name: str) -> Checkpoint | None:
    """Copy a published checkpoint to where ai-toolkit looks for its own; None when it is of no use."""
    checkpoint = read_checkpoint(source)
    if checkpoint is None or not is_sound(source):
        return None
    target = folder / f"{name}_{checkpoint.step:09d}.safetensors"
    partial = folder / f".tmp-{target.name}"
    shutil.copyfile(source, partial)
    partial.replace(target)
    return Checkpoint(target, checkpoint.step)
