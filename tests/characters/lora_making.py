"""LoRA files as the tests need them: whole ones, and ones that are broken in one place."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponseBase
from rest_framework.test import APIClient

MODULE = "transformer.transformer_blocks.0.attn.to_q"
DOWN, UP = f"{MODULE}.lora_A.weight", f"{MODULE}.lora_B.weight"
RANK, WIDTH = 4, 32
ELEMENT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "U8": 1}
UNKNOWN_LORA = "lora-000000000000"

Shapes = Mapping[str, list[int]]


def count(shape: list[int]) -> int:
    numbers = 1
    for side in shape:
        numbers *= side
    return numbers


def header_of(shapes: Shapes, dtype: str = "F32", **metadata: str) -> dict[str, Any]:
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + count(shape) * ELEMENT_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    return header


def file_of(header: Any, body: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def file_with(shapes: Shapes, dtype: str = "F32", **metadata: str) -> bytes:
    body = bytes(sum(count(shape) for shape in shapes.values()) * ELEMENT_BYTES[dtype])
    return file_of(header_of(shapes, dtype, **metadata), body)


def pair(rank: int = RANK) -> Shapes:
    return {DOWN: [rank, WIDTH], UP: [WIDTH, rank]}


def lora_bytes(weight: float = 0.01, **metadata: str) -> bytes:
    """A LoRA as ai-toolkit writes it; each `weight` makes another file."""
    shapes = pair()
    body = struct.pack("<f", weight) * sum(count(shape) for shape in shapes.values())
    return file_of(header_of(shapes, **metadata), body)


def send_lora(content: bytes | None = None, filename: str = "style.safetensors", **fields: Any) -> HttpResponseBase:
    """Upload; a field given as None is left out."""
    form = {"file": SimpleUploadedFile(filename, lora_bytes() if content is None else content), "name": "Style"}
    form |= fields
    form = {name: value for name, value in form.items() if value is not None}
    return APIClient().post("/api/loras/upload", form, format="multipart")


def upload_lora(content: bytes | None = None, filename: str = "style.safetensors", **fields: Any) -> dict[str, Any]:
    response = send_lora(content, filename, **fields)
    assert response.status_code == 201, response.content
    return dict(response.json())
