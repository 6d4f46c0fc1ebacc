"""LoRA files as small as they can be and still be what a training for FLUX.1 ends with."""

import random

import orjson

BLOCKS = 3
WIDTH = 128
BF16_BYTES = 2
# The upper byte of a number in bfloat16, without its sign: an exponent that keeps every value small.
SMALL_EXPONENT, SIGN_AND_REST = 0x3C, 0x83
LENGTH_BYTES = 8


def lora_file(*, seed: str, rank: int) -> bytes:
    """Return a whole .safetensors file, the same for the same arguments."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    for name, shape in _shapes(rank).items():
        begin = len(body)
        body += _numbers(f"{seed} {name}", shape[0] * shape[1])
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, len(body)]}
    raw = orjson.dumps(header)
    raw += b" " * (-(LENGTH_BYTES + len(raw)) % LENGTH_BYTES)
    return len(raw).to_bytes(LENGTH_BYTES, "little") + raw + bytes(body)


def _shapes(rank: int) -> dict[str, tuple[int, int]]:
    shapes: dict[str, tuple[int, int]] = {}
    for block in range(BLOCKS):
        for part in ("to_q", "to_k", "to_v"):
            module = f"transformer.transformer_blocks.{block}.attn.{part}"
            shapes[f"{module}.lora_A.weight"] = (rank, WIDTH)
            shapes[f"{module}.lora_B.weight"] = (WIDTH, rank)
    return shapes


def _numbers(seed: str, count: int) -> bytes:
    numbers = bytearray(random.Random(seed).randbytes(count * BF16_BYTES))
    small = bytes((byte & SIGN_AND_REST) | SMALL_EXPONENT for byte in range(256))
    # The upper byte is the second one.
    numbers[1::BF16_BYTES] = numbers[1::BF16_BYTES].translate(small)
    return bytes(numbers)
