"""Which of the trainer's files are whole.

Judged by the safetensors header: 8 bytes of length, then JSON that says where each tensor's bytes lie.
"""

import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A LoRA of all of FLUX has 988 tensors and a header of some 120 kB.
_MAX_HEADER_BYTES = 16 * 1024 * 1024
_ELEMENT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class IncompleteFileError(ValueError):
    """The file is not a complete safetensors file."""


@dataclass(frozen=True, slots=True)
class Header:
    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def step(self) -> int | None:
        """The optimizer step that ai-toolkit wrote down, which is where a resumed run begins."""
        try:
            info = json.loads(self.metadata.get("training_info", ""))
        except ValueError:
            return None
        step = info.get("step") if isinstance(info, dict) else None
        return step if isinstance(step, int) else None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    path: Path
    step: int


def read_header(path: Path) -> Header:
    """Raises IncompleteFileError, also when the tensors' bytes are not all there, and OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_MAX_HEADER_BYTES, size - 8):
            raise IncompleteFileError(f"{path.name} is shorter than its header")
        raw = file.read(length)
    return _check(_parse(raw, path.name), body_bytes=size - 8 - length, name=path.name)


def _parse(raw: bytes, name: str) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except ValueError as exc:
        raise IncompleteFileError(f"{name} has an unreadable header") from exc
    if not isinstance(header, dict):
        raise IncompleteFileError(f"{name} has an unreadable header")
    return header


def _check(header: dict[str, Any], *, body_bytes: int, name: str) -> Header:
    metadata = header.pop("__metadata__", {})
    try:
        ends = [_end_of(entry) for entry in header.values()]
        shapes = {key: tuple(entry["shape"]) for key, entry in header.items()}
    except (KeyError, TypeError, ValueError) as exc:
        raise IncompleteFileError(f"{name} describes its tensors wrongly") from exc
    if max(ends, default=0) != body_bytes:
        raise IncompleteFileError(f"{name} is not fully covered by its tensors")
    return Header(metadata=metadata, shapes=shapes)


def _end_of(entry: Mapping[str, Any]) -> int:
    begin, end = entry["data_offsets"]
    expected = math.prod(entry["shape"]) * _ELEMENT_BYTES.get(entry["dtype"], 0)
    if expected and end - begin != expected:
        raise ValueError("a tensor's size does not fit its shape")
    return int(end)


def list_saves(folder: Path, name: str) -> list[Path]:
    """List the saves of a step, `NAME_000000250.safetensors`, by step; not the final file."""
    pattern = re.compile(re.escape(name) + r"_\d{9}\.safetensors")
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))


def is_whole(path: Path) -> bool:
    try:
        read_header(path)
    except IncompleteFileError:
        return False
    return True


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return None for a file that is gone, not whole or without a step."""
    try:
        step = read_header(path).step
    except (IncompleteFileError, OSError):
        return None
    return Checkpoint(path, step) if step is not None else None


def newest_checkpoint(folder: Path, name: str) -> Checkpoint | None:
    """Return the save that ai-toolkit will go on from: it takes the newest by change time, the final file included."""
    found = [read_checkpoint(path) for path in [*list_saves(folder, name), folder / f"{name}.safetensors"]]
    whole = [checkpoint for checkpoint in found if checkpoint is not None]
    return max(whole, key=lambda checkpoint: (checkpoint.path.stat().st_ctime_ns, checkpoint.step), default=None)


def set_aside_broken(folder: Path, name: str, destination: Path) -> list[str]:
    """Move saves that are not whole out of ai-toolkit's sight: it would fail on the newest one at every start."""
    saves = [path for path in folder.glob("*.safetensors") if path.name.startswith(name)]
    broken = [path for path in saves if not is_whole(path)]
    for path in broken:
        destination.mkdir(parents=True, exist_ok=True)
        path.replace(destination / path.name)
    return sorted(path.name for path in broken)


def adopt_checkpoint(source: Path, folder: Path, name: str) -> Checkpoint | None:
    """Copy a published checkpoint to where ai-toolkit looks for its own; None when it is of no use."""
    checkpoint = read_checkpoint(source)
    if checkpoint is None:
        return None
    target = folder / f"{name}_{checkpoint.step:09d}.safetensors"
    partial = folder / f".tmp-{target.name}"
    shutil.copyfile(source, partial)
    partial.replace(target)
    return Checkpoint(target, checkpoint.step)
