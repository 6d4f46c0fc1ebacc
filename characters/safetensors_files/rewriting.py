"""The same tensors under other metadata. Nothing but the header is ever held in memory."""

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

import orjson

from characters.safetensors_files.header import LENGTH_BYTES, MAX_HEADER_BYTES, Header

BLOCK_BYTES = 1 << 20
# The safetensors library pads its headers with blanks to this, so that tensors are aligned when a file is mapped.
ALIGNMENT_BYTES = 8


class HeaderTooLarge(ValueError):
    """The metadata leave no room for the tensors' own entries."""


@dataclass(frozen=True, slots=True)
class Written:
    size_bytes: int
    sha256: str


def tensors_sha256(content: IO[bytes], header: Header) -> str:
    """Return the SHA-256 of all that follows the header: it stays the same whatever the metadata say."""
    digest = hashlib.sha256()
    for block in _body(content, header):
        digest.update(block)
    return digest.hexdigest()


def write_with_metadata(
    content: IO[bytes], header: Header, metadata: Mapping[str, str], *, target: IO[bytes]
) -> Written:
    """Write the file again into `target`, its tensors byte for byte. Raises HeaderTooLarge and OSError."""
    digest = hashlib.sha256()
    size_bytes = 0
    for block in _file(content, header, metadata):
        digest.update(block)
        size_bytes += target.write(block)
    return Written(size_bytes, digest.hexdigest())


def _file(content: IO[bytes], header: Header, metadata: Mapping[str, str]) -> Iterator[bytes]:
    yield _rendered(header, metadata)
    yield from _body(content, header)


def _rendered(header: Header, metadata: Mapping[str, str]) -> bytes:
    entries = {
        name: {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (tensor.begin, tensor.end)}
        for name, tensor in header.tensors.items()
    }
    raw = orjson.dumps({"__metadata__": dict(metadata), **entries})
    raw += b" " * (-(LENGTH_BYTES + len(raw)) % ALIGNMENT_BYTES)
    if len(raw) > MAX_HEADER_BYTES:
        raise HeaderTooLarge(f"The header would have {len(raw)} bytes; at most {MAX_HEADER_BYTES} are read again.")
    return struct.pack("<Q", len(raw)) + raw


def _body(content: IO[bytes], header: Header) -> Iterator[bytes]:
    content.seek(header.body_offset, os.SEEK_SET)
    while block := content.read(BLOCK_BYTES):
        yield block
