"""Weights spoiled in the way that a training which diverges shows."""

import json
from pathlib import Path

_LENGTH_BYTES = 8
_NAN_FLOAT32 = bytes.fromhex("0000c07f")


def fill_with_nans(path: Path) -> None:
    """Only for a file of 32-bit floats."""
    content = path.read_bytes()
    body = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(content[_LENGTH_BYTES:body])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F32"}
    path.write_bytes(content[:body] + _NAN_FLOAT32 * ((len(content) - body) // len(_NAN_FLOAT32)))
