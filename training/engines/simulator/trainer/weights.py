"""The numbers of a LoRA, under the tensor names of the real program."""

import ctypes
import hashlib
import math
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import TensorSpec, serialize, serialize_file

from .architectures import Architecture

_DTYPES = {
    **dict.fromkeys(("float", "fp32", "single", "float32"), "float32"),
    **dict.fromkeys(("fp16", "half", "float16"), "float16"),
    **dict.fromkeys(("bf16", "bfloat16"), "bfloat16"),
    **dict.fromkeys(("8bit", "e4m3fn", "float8"), "float8_e4m3fn"),
}
# Bytes of a number, and what its highest byte becomes beside the sign: an exponent that keeps every value small.
_LAYOUTS = {"float32": (4, 0x38), "float16": (2, 0x20), "bfloat16": (2, 0x38), "float8_e4m3fn": (1, 0x08)}

# How `struct` packs a number, and how many of the low bytes are cut off.
_PACKED = {"float32": ("<f", 0), "float16": ("<e", 0), "bfloat16": ("<f", 2)}

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


def lora_shapes(architecture: Architecture, rank: int) -> Shapes:
    shapes: Shapes = {}
    down, up = ("lora_down", "lora_up") if architecture.has_kohya_names else ("lora_A", "lora_B")
    for module, (width, height) in architecture.modules.items():
        shapes[f"{module}.{down}.weight"] = (rank, width)
        shapes[f"{module}.{up}.weight"] = (height, rank)
        if architecture.has_kohya_names:
            shapes[f"{module}.alpha"] = ()
    return shapes


def lokr_shapes(architecture: Architecture) -> Shapes:
    shapes: Shapes = {}
    for module, (width, height) in architecture.modules.items():
        (left_in, right_in), (left_out, right_out) = _factors(width), _factors(height)
        shapes[f"{module}.alpha"] = ()
        shapes[f"{module}.lokr_w1"] = (left_out, left_in)
        shapes[f"{module}.lokr_w2"] = (right_out, right_in)
    return shapes


def _factors(size: int) -> tuple[int, int]:
    """Split into the two factors that lie closest together, the smaller one first."""
    smaller = max(divisor for divisor in range(1, math.isqrt(size) + 1) if size % divisor == 0)
    return smaller, size // smaller


def parameter_count(architecture: Architecture, rank: int) -> int:
    return sum(math.prod(shape) for shape in lora_shapes(architecture, rank).values())


def fill(shapes: Shapes, dtype: str, seed: str, *, alpha: float = 1.0) -> Tensors:
    """Return small finite numbers that depend on nothing but the arguments; alphas are what they are said to be."""
    contents = {name: _numbers(f"{seed}:{name}", math.prod(shape), dtype) for name, shape in shapes.items()}
    if dtype in _PACKED:
        contents |= {name: _packed(alpha, dtype) for name in shapes if name.endswith(".alpha")}
    return Tensors(dtype, shapes, contents)


def _packed(number: float, dtype: str) -> bytes:
    layout, cut = _PACKED[dtype]
    return struct.pack(layout, number)[cut:]


def _numbers(seed: str, count: int, dtype: str) -> bytes:
    width, exponent = _LAYOUTS[dtype]
    numbers = bytearray(random.Random(seed).randbytes(count * width))
    # An exponent of all ones would be infinite or not a number, so random bits must not reach it.
    numbers[width - 1 :: width] = numbers[width - 1 :: width].translate(_with_exponent(exponent))
    return bytes(numbers)


def _with_exponent(exponent: int) -> bytes:
    return bytes((byte & 0x80) | exponent | (byte & 0x03) for byte in range(256))
