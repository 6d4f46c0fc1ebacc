"""Reads and writes safetensors files without a tensor library."""

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from generation.engines.simulator.lora_keys import matching_modules

HEADER_MAX_BYTES = 100_000_000
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Header:
    tensors: dict[str, Any]
    metadata: dict[str, str]
    data_offset: int


def read_header(path: Path) -> Header:
    """Raises safetensors' own SafetensorError for a file that is corrupt, cut short or empty."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise _broken("header too small")
        length = struct.unpack("<Q", prefix)[0]
        if length > HEADER_MAX_BYTES:
            raise _broken("header too large")
        if 8 + length > size_bytes:
            raise _broken("invalid header length")
        tensors, metadata = _parse_header(file.read(length))
    if 8 + length + _data_bytes(tensors) != size_bytes:
        raise _broken("incomplete metadata, file not fully covered")
    return Header(tensors, metadata, 8 + length)


def _broken(reason: str) -> SafetensorError:
    return SafetensorError(f"Error while deserializing header: {reason}")


def _parse_header(raw: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        header = json.loads(raw)
    except ValueError as exc:
        raise _broken(f"invalid JSON in header: {exc}") from exc
    if not isinstance(header, dict):
        raise _broken("invalid JSON in header: not an object")
    metadata = header.pop("__metadata__", {})
    return header, metadata


def _data_bytes(tensors: dict[str, Any]) -> int:
    try:
        return max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
    except (LookupError, TypeError, ValueError) as exc:
        raise _broken("invalid tensor entry") from exc


def lora_digest(path: Path, family: str) -> str | None:
    """Return a digest of the weights, or None if no pair of keys belongs to the model: such a file changes nothing."""
    header = read_header(path)
    if not matching_modules(set(header.tensors), family):
        return None
    digest = hashlib.blake2b(json.dumps(header.tensors, sort_keys=True).encode(), digest_size=32)
    with path.open("rb") as file:
        file.seek(header.data_offset)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
