"""The ways in which trainers name the tensors of a LoRA, and what must come together under such names."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from characters.safetensors_files.header import LoraRefused, Tensor, shown

Layout = Literal["peft", "kohya", "diffusers", "loha", "lokr"]
Parts = Mapping[str, Tensor]

PAIRS: tuple[tuple[Layout, str, str], ...] = (
    ("peft", ".lora_A.weight", ".lora_B.weight"),
    ("peft", ".lora_A.default.weight", ".lora_B.default.weight"),
    ("peft", ".lora_A", ".lora_B"),
    ("kohya", ".lora_down.weight", ".lora_up.weight"),
    ("diffusers", ".lora.down.weight", ".lora.up.weight"),
    ("diffusers", "_lora.down.weight", "_lora.up.weight"),
    ("diffusers", ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
)
LOHA_PARTS = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")
LOKR_PARTS = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")
ENDINGS: Mapping[str, tuple[Layout, str]] = {
    **{down: (layout, "down") for layout, down, _up in PAIRS},
    **{up: (layout, "up") for layout, _down, up in PAIRS},
    ".lora_mid.weight": ("kohya", "mid"),
    **{f".{part}": ("loha", part) for part in LOHA_PARTS},
    **{f".{part}": ("lokr", part) for part in LOKR_PARTS},
}
# What may stand beside the pairs: scales, DoRA's magnitudes, and layers whose whole difference is given.
BESIDE = (
    ".alpha",
    ".dora_scale",
    ".lora_magnitude_vector",
    ".lora_magnitude_vector.weight",
    ".lora_B.bias",
    ".lora_up.bias",
    ".lora.up.bias",
    ".diff",
    ".diff_b",
    ".w_norm",
    ".b_norm",
    ".set_weight",
    ".reshape_weight",
)
# Some trainers put the embeddings trained along with a LoRA into its file.
BUNDLED = "bundle_emb."
WEIGHT_TYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ranks`: the different ranks of the modules, in order; empty where LoKr gives its factors whole."""

    layouts: tuple[Layout, ...]
    ranks: tuple[int, ...]
    module_count: int


def judge(tensors: Mapping[str, Tensor]) -> Judgement:
    """Raises LoraRefused unless the tensors are whole low-rank modules of a known layout, at least one."""
    modules = _modules(tensors)
    if not modules:
        raise LoraRefused("The file has no LoRA weights, no pair of lora_A and lora_B or of lora_down and lora_up.")
    ranks = {rank for (layout, module), parts in modules.items() for rank in _ranks(layout, module, parts)}
    layouts = sorted({layout for layout, _module in modules})
    return Judgement(tuple(layouts), tuple(sorted(ranks)), len(modules))


def _modules(tensors: Mapping[str, Tensor]) -> dict[tuple[Layout, str], dict[str, Tensor]]:
    modules: dict[tuple[Layout, str], dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        ending = next((ending for ending in ENDINGS if name.endswith(ending)), None)
        if ending is None:
            _check_bystander(name, tensor)
            continue
        layout, part = ENDINGS[ending]
        _check_weight(name, tensor)
        parts = modules[layout, name.removesuffix(ending)]
        if part in parts:
            raise LoraRefused(f"Tensor {shown(name)} comes twice, under two spellings of its name.")
        parts[part] = tensor
    return modules


def _check_bystander(name: str, tensor: Tensor) -> None:
    if not name.endswith(BESIDE) and not name.startswith(BUNDLED):
        raise LoraRefused(
            f"Tensor {shown(name)} belongs to no LoRA layout known here (PEFT, kohya, diffusers, LoHa, LoKr); "
            "is this a whole model?"
        )
    if name.endswith(".alpha") and math.prod(tensor.shape) != 1:
        raise LoraRefused(f"Tensor {shown(name)} must be one number.")


def _check_weight(name: str, tensor: Tensor) -> None:
    if tensor.dtype not in WEIGHT_TYPES:
        raise LoraRefused(f"Tensor {shown(name)} must have floating-point numbers, not {tensor.dtype}.")
    if len(tensor.shape) < 2 or 0 in tensor.shape:
        raise LoraRefused(f"Tensor {shown(name)} must be a matrix, and its shape is {list(tensor.shape)}.")


def _ranks(layout: Layout, module: str, parts: Parts) -> list[int]:
    if layout == "loha":
        return _loha_ranks(module, parts)
    if layout == "lokr":
        return _lokr_ranks(module, parts)
    return _pair_ranks(module, parts)


def _pair_ranks(module: str, parts: Parts) -> list[int]:
    rank = _shared_rank(module, parts, left="up", right="down")
    if "mid" in parts and parts["mid"].shape[:2] != (rank, rank):
        raise LoraRefused(f"Module {shown(module)} has a lora_mid that does not fit its rank of {rank}.")
    return [rank]


def _loha_ranks(module: str, parts: Parts) -> list[int]:
    ranks = []
    for number in (1, 2):
        left, right = f"hada_w{number}_a", f"hada_w{number}_b"
        # With a core tensor the factors lie the other way round.
        if f"hada_t{number}" in parts:
            _require(module, parts, left, right)
        else:
            ranks.append(_shared_rank(module, parts, left=left, right=right))
    return ranks


def _lokr_ranks(module: str, parts: Parts) -> list[int]:
    ranks = []
    for factor in ("lokr_w1", "lokr_w2"):
        left, right = f"{factor}_a", f"{factor}_b"
        if factor in parts:
            continue
        if factor == "lokr_w2" and "lokr_t2" in parts:
            _require(module, parts, left, right)
        else:
            ranks.append(_shared_rank(module, parts, left=left, right=right))
    return ranks


def _shared_rank(module: str, parts: Parts, *, left: str, right: str) -> int:
    """Return r of a product (n, r) x (r, m)."""
    _require(module, parts, left, right)
    rank = parts[right].shape[0]
    if parts[left].shape[1] != rank:
        raise LoraRefused(
            f"The two halves of module {shown(module)} do not fit together: "
            f"{list(parts[left].shape)} and {list(parts[right].shape)}."
        )
    return rank


def _require(module: str, parts: Parts, *names: str) -> None:
    missing = [name for name in names if name not in parts]
    if missing:
        raise LoraRefused(f"Module {shown(module)} is incomplete: its {missing[0]} is missing.")
