"""The outside of a safetensors file: its header, held against the file's bytes before anything in it is believed.

Eight bytes of length, then JSON that says where each tensor's bytes lie, then those bytes without a gap.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import orjson

LENGTH_BYTES = 8
# A LoRA of all of FLUX needs 120 kB; those whose trainer wrote down how often it saw each tag have a few MB.
MAX_HEADER_BYTES = 10_000_000
MAX_NAME_LENGTH = 500
SHOWN_NAME_LENGTH = 120
ELEMENT_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}
PICKLED = (
    "This is a pickled file (.ckpt, .pt, .bin), which can run code when it is loaded; convert it to .safetensors first."
)
WEB_PAGE = "This is a web page; the download of the file probably needed a log-in."
MISTAKEN_FOR: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", PICKLED),
    *((b"\x80" + bytes([protocol]), PICKLED) for protocol in range(2, 6)),
    (b"GGUF", "This is a GGUF file; only .safetensors is taken."),
    (b"version https://git-lfs", "This is a Git LFS pointer; send the file that it points to."),
    *((beginning, WEB_PAGE) for beginning in (b"<!doctype", b"<!DOCTYPE", b"<html")),
)


class LoraRefused(Exception):
    """The file is no usable LoRA; the text says why to the person who sent it."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`begin` and `end` count bytes from the end of the header on."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Header:
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    body_offset: int


def read_header(content: IO[bytes]) -> Header:
    """Raises LoraRefused unless the tensors fill the file to its last byte."""
    size_bytes = content.seek(0, os.SEEK_END)
    content.seek(0)
    length = _header_length(content, size_bytes)
    described = _parsed(content.read(length))
    metadata = _metadata(described.pop("__metadata__", {}))
    tensors = {name: _tensor(name, entry) for name, entry in described.items()}
    _check_cover(tensors, body_bytes=size_bytes - LENGTH_BYTES - length)
    return Header(tensors, metadata, LENGTH_BYTES + length)


def shown(name: str) -> str:
    """Return a name from the file as a message may show it: quoted, escaped and not too long."""
    return repr(name if len(name) <= SHOWN_NAME_LENGTH else f"{name[:SHOWN_NAME_LENGTH]}…")


def _header_length(content: IO[bytes], size_bytes: int) -> int:
    if not size_bytes:
        raise LoraRefused("The file is empty.")
    head = content.read(32)
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    if size_bytes < LENGTH_BYTES or head[LENGTH_BYTES : LENGTH_BYTES + 1] != b"{" or length > MAX_HEADER_BYTES:
        # Only now: a true header's length may begin with the same bytes as one of these.
        sentences = (sentence for beginning, sentence in MISTAKEN_FOR if head.startswith(beginning))
        raise LoraRefused(next(sentences, "This is no safetensors file: it does not begin with a header."))
    if length > size_bytes - LENGTH_BYTES:
        raise LoraRefused("The file is cut off: its header is incomplete.")
    content.seek(LENGTH_BYTES)
    return length


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        # orjson refuses what json lets pass (NaN, lone surrogates, deep nesting); json shows keys that come twice.
        orjson.loads(raw)
        parsed = json.loads(raw, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as exc:
        raise LoraRefused("The file's header is not valid JSON.") from exc
    if not isinstance(parsed, dict):
        raise LoraRefused("The file's header is not a JSON object.")
    return parsed


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for name, value in pairs:
        if name in parsed:
            raise LoraRefused(f"The file's header has the key {shown(name)} twice.")
        parsed[name] = value
    return parsed


def _metadata(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise LoraRefused("The file's metadata are not texts by name.")
    return given


def _tensor(name: str, entry: Any) -> Tensor:
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        raise LoraRefused(f"A tensor's name must have 1 to {MAX_NAME_LENGTH} characters: {shown(name)}.")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise LoraRefused(f"The header does not describe tensor {shown(name)} by dtype, shape and data_offsets.")
    shape, offsets = _sizes(entry["shape"]), _sizes(entry["data_offsets"])
    if shape is None or offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise LoraRefused(f"The shape or the offsets of tensor {shown(name)} are not valid.")
    return _measured(name, Tensor(str(entry["dtype"]), shape, *offsets))


def _sizes(given: Any) -> tuple[int, ...] | None:
    # A bool is an int to isinstance, and true is no size.
    if not isinstance(given, list) or not all(type(size) is int and size >= 0 for size in given):
        return None
    return tuple(given)


def _measured(name: str, tensor: Tensor) -> Tensor:
    if tensor.dtype not in ELEMENT_BYTES:
        raise LoraRefused(f"Tensor {shown(name)} has a number type that is not known here: {shown(tensor.dtype)}.")
    if math.prod(tensor.shape) * ELEMENT_BYTES[tensor.dtype] != tensor.size_bytes:
        raise LoraRefused(f"The size of tensor {shown(name)} does not fit its shape and number type.")
    return tensor


def _check_cover(tensors: Mapping[str, Tensor], *, body_bytes: int) -> None:
    if not tensors:
        raise LoraRefused("The file has no tensors.")
    reached = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != reached:
            problem = "overlaps another" if tensor.begin < reached else "has a gap before it"
            raise LoraRefused(f"Tensor {shown(name)} {problem}.")
        reached = tensor.end
    if reached > body_bytes:
        raise LoraRefused(f"The file is cut off; bytes missing at its end: {reached - body_bytes}.")
    if reached < body_bytes:
        raise LoraRefused(f"The file goes on behind its last tensor; bytes too many: {body_bytes - reached}.")
