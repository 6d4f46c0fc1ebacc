"""Whether a LoRA is the one that a training was asked for: of its base model, of its rank, and learned at all."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import IO

from base_models import Training
from characters.safetensors_files.header import Header, LoraRefused, Tensor, shown
from characters.safetensors_files.layouts import ENDINGS
from characters.safetensors_files.numbers import is_all_zero


def check_expected(tensors: Mapping[str, Tensor], training: Training, *, rank: int) -> None:
    """Raises LoraRefused for the first tensor that the base model's LoRAs of this rank do not have, or that lacks."""
    key = re.compile(training.lora_key)
    halves: dict[str, set[str]] = defaultdict(set)
    for name, tensor in tensors.items():
        match = key.fullmatch(name)
        if match is None:
            raise LoraRefused(f"Tensor {shown(name)} is none that a LoRA for this base model has.")
        halves[match["module"]].add(match["half"])
        _check_rank(name, tensor, axis=training.rank_axes[match["half"]], rank=rank)
    for module, found in halves.items():
        missing = training.rank_axes.keys() - found
        if missing:
            raise LoraRefused(f"Module {shown(module)} is incomplete: its {min(missing)} is missing.")


def check_learned(content: IO[bytes], header: Header) -> None:
    """Raises LoraRefused if the LoRA changes nothing: the half of each pair that begins at zero is still there."""
    ups = [tensor for name, tensor in header.tensors.items() if _is_up(name)]
    if all(is_all_zero(content, header.body_offset, tensor) for tensor in ups):
        raise LoraRefused("All its lora_B weights are zero: nothing was learned.")


def _check_rank(name: str, tensor: Tensor, *, axis: int | None, rank: int) -> None:
    if axis is None:
        return
    if len(tensor.shape) <= axis or tensor.shape[axis] != rank:
        raise LoraRefused(f"Tensor {shown(name)} is not of rank {rank}: its shape is {list(tensor.shape)}.")


def _is_up(name: str) -> bool:
    return any(name.endswith(ending) for ending, (_layout, part) in ENDINGS.items() if part == "up")
