"""Whether every number of a file can be computed with, without a tensor library.

In each type the byte with the sign and the high bits of the exponent tells infinities and NaN from ordinary numbers.
In the types with eight or more exponent bits it also catches what is near their upper end (1.7e38 for F32 and BF16),
where a product would overflow at once; no weight is anywhere near that.
"""

import os
from collections.abc import Iterator, Mapping
from typing import IO

from characters.safetensors_files.header import ELEMENT_BYTES, Header, LoraRefused, Tensor, shown

CHUNK_BYTES = 1 << 20


def _bytes_with(bits: int) -> bytes:
    return bytes(byte for byte in range(256) if byte & bits == bits)


UNUSABLE: Mapping[str, bytes] = {
    "F64": _bytes_with(0x7F),
    "F32": _bytes_with(0x7F),
    "BF16": _bytes_with(0x7F),
    "F16": _bytes_with(0x7C),
    "F8_E5M2": _bytes_with(0x7C),
    "F8_E4M3": _bytes_with(0x7F),
}


def check_numbers(content: IO[bytes], header: Header) -> None:
    """Raises LoraRefused if there is an infinity or a NaN. Reads the whole file."""
    for name, tensor in header.tensors.items():
        if tensor.dtype in UNUSABLE and not _is_usable(content, header.body_offset, tensor):
            raise LoraRefused(f"Tensor {shown(name)} has numbers that are NaN or infinite: the training diverged.")


def is_all_zero(content: IO[bytes], body_offset: int, tensor: Tensor) -> bool:
    """Return whether every number is 0 or -0. Reads up to the first that is not."""
    step = ELEMENT_BYTES[tensor.dtype]
    for chunk in _chunks(content, body_offset, tensor):
        if chunk[step - 1 :: step].strip(b"\0\x80") or any(chunk[byte::step].strip(b"\0") for byte in range(step - 1)):
            return False
    return True


def _is_usable(content: IO[bytes], body_offset: int, tensor: Tensor) -> bool:
    unusable, step = UNUSABLE[tensor.dtype], ELEMENT_BYTES[tensor.dtype]
    for chunk in _chunks(content, body_offset, tensor):
        # Numbers are little-endian, so this is the last byte of each. A loop in C, where Python's would take minutes.
        high = chunk[step - 1 :: step]
        if len(high.translate(None, unusable)) != len(high):
            return False
    return True


def _chunks(content: IO[bytes], body_offset: int, tensor: Tensor) -> Iterator[bytes]:
    content.seek(body_offset + tensor.begin, os.SEEK_SET)
    left = tensor.size_bytes
    while left:
        wanted = min(CHUNK_BYTES, left)
        chunk = content.read(wanted)
        if len(chunk) != wanted:
            raise LoraRefused("The file became shorter while it was read.")
        left -= wanted
        yield chunk
