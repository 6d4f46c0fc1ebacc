"""Files that customers upload."""

import json
import struct

RANK, WIDTH = 4, 32
MODULE = "transformer.transformer_blocks.0.attn.to_q"


def lora(number: int) -> bytes:
    """Return a small LoRA for FLUX.1; each number makes another file."""
    size = RANK * WIDTH * 4
    header = {
        f"{MODULE}.lora_A.weight": {"dtype": "F32", "shape": [RANK, WIDTH], "data_offsets": [0, size]},
        f"{MODULE}.lora_B.weight": {"dtype": "F32", "shape": [WIDTH, RANK], "data_offsets": [size, 2 * size]},
    }
    described = json.dumps(header).encode()
    return struct.pack("<Q", len(described)) + described + struct.pack("<f", 1 / (number + 1)) * (size // 2)
