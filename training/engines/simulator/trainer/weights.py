"""The LoRA of a tiny FLUX (one double block, two single ones) under the tensor names of the real program."""

import ctypes
import hashlib
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import TensorSpec, serialize, serialize_file

_HIDDEN, _MLP = 32, 128
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
_DOUBLE = {
    **{f"attn.{name}": (_HIDDEN, _HIDDEN) for name in _ATTENTION},
    "norm1.linear": (_HIDDEN, 6 * _HIDDEN),
    "norm1_context.linear": (_HIDDEN, 6 * _HIDDEN),
    "ff.net.0.proj": (_HIDDEN, _MLP),
    "ff.net.2": (_MLP, _HIDDEN),
    "ff_context.net.0.proj": (_HIDDEN, _MLP),
    "ff_context.net.2": (_MLP, _HIDDEN),
}
_SINGLE = {
    **{f"attn.{name}": (_HIDDEN, _HIDDEN) for name in ("to_q", "to_k", "to_v")},
    "norm.linear": (_HIDDEN, 3 * _HIDDEN),
    "proj_mlp": (_HIDDEN, _MLP),
    "proj_out": (_HIDDEN + _MLP, _HIDDEN),
}
# Name of a module → how many features go in and come out.
MODULES: dict[str, tuple[int, int]] = {
    **{f"transformer.transformer_blocks.0.{name}": sides for name, sides in _DOUBLE.items()},
    **{f"transformer.single_transformer_blocks.{i}.{name}": sides for i in range(2) for name, sides in _SINGLE.items()},
}

_DTYPES = {
    **dict.fromkeys(("float", "fp32", "single", "float32"), "float32"),
    **dict.fromkeys(("fp16", "half", "float16"), "float16"),
    **dict.fromkeys(("bf16", "bfloat16"), "bfloat16"),
    **dict.fromkeys(("8bit", "e4m3fn", "float8"), "float8_e4m3fn"),
}
# Bytes of a number, and what its highest byte becomes beside the sign: an exponent that keeps every value small.
_LAYOUTS = {"float32": (4, 0x38), "float16": (2, 0x20), "bfloat16": (2, 0x38), "float8_e4m3fn": (1, 0x08)}

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Tensors:
    """Raw numbers of one type by tensor name."""

    dtype: str
    shapes: Shapes
    contents: dict[str, bytes]

    def specs(self) -> tuple[dict[str, TensorSpec], list[Any]]:
        """Return what the serializer takes, and the buffers that must outlive the call."""
        buffers = {name: ctypes.create_string_buffer(raw, len(raw)) for name, raw in self.contents.items()}
        specs = {
            name: TensorSpec(
                dtype=self.dtype,
                shape=list(self.shapes[name]),
                data_ptr=ctypes.addressof(buffer),
                data_len=len(self.contents[name]),
            )
            for name, buffer in buffers.items()
        }
        return specs, list(buffers.values())

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the file under a temporary name, readable by its owner alone, and rename it: the library does so."""
        specs, _buffers = self.specs()
        serialize_file(specs, str(path), metadata)

    def hashes(self) -> dict[str, str]:
        """Return the two hashes by which web interfaces recognise a LoRA file."""
        specs, _buffers = self.specs()
        whole = bytes(serialize(specs, {"format": "pt"}))
        header_bytes = 8 + int.from_bytes(whole[:8], "little")
        return {
            "sshs_model_hash": hashlib.sha256(whole[header_bytes:]).hexdigest(),
            "sshs_legacy_hash": hashlib.sha256(whole[0x100000:0x110000]).hexdigest()[:8],
        }


def find_dtype(word: Any) -> str | None:
    """Return the safetensors name of a number type, or None for a word that the real program does not know."""
    return _DTYPES.get(word) if isinstance(word, str) else None


def lora_shapes(rank: int) -> Shapes:
    shapes: Shapes = {}
    for module, (width, height) in MODULES.items():
        shapes[f"{module}.lora_A.weight"] = (rank, width)
        shapes[f"{module}.lora_B.weight"] = (height, rank)
    return shapes


def lokr_shapes() -> Shapes:
    shapes: Shapes = {}
    for module, (width, height) in MODULES.items():
        (left_in, right_in), (left_out, right_out) = _factors(width), _factors(height)
        shapes[f"{module}.alpha"] = ()
        shapes[f"{module}.lokr_w1"] = (left_out, left_in)
        shapes[f"{module}.lokr_w2"] = (right_out, right_in)
    return shapes


def _factors(size: int) -> tuple[int, int]:
    """Split into the two factors that lie closest together, the smaller one first."""
    smaller = max(divisor for divisor in range(1, math.isqrt(size) + 1) if size % divisor == 0)
    return smaller, size // smaller


def parameter_count(rank: int) -> int:
    return sum(math.prod(shape) for shape in lora_shapes(rank).values())


def fill(shapes: Shapes, dtype: str, seed: str) -> Tensors:
    """Return small finite numbers that depend on nothing but the arguments."""
    contents = {name: _numbers(f"{seed}:{name}", math.prod(shape), dtype) for name, shape in shapes.items()}
    return Tensors(dtype, shapes, contents)


def _numbers(seed: str, count: int, dtype: str) -> bytes:
    width, exponent = _LAYOUTS[dtype]
    numbers = bytearray(random.Random(seed).randbytes(count * width))
    # An exponent of all ones would be infinite or not a number, so random bits must not reach it.
    numbers[width - 1 :: width] = numbers[width - 1 :: width].translate(_with_exponent(exponent))
    return bytes(numbers)


def _with_exponent(exponent: int) -> bytes:
    return bytes((byte & 0x80) | exponent | (byte & 0x03) for byte in range(256))
