"""A LoRA's file again under other metadata."""

import hashlib
import io
import json
import struct
from typing import Any

import pytest
import safetensors

from characters.safetensors_files import HeaderTooLarge, inspect, read_header, tensors_sha256, write_with_metadata
from tests.characters.lora_making import DOWN, UP, file_of, header_of, lora_bytes, pair


def rewritten(content: bytes, metadata: dict[str, str]) -> bytes:
    source, target = io.BytesIO(content), io.BytesIO()
    written = write_with_metadata(source, read_header(source), metadata, target=target)
    again = target.getvalue()
    assert (written.size_bytes, written.sha256) == (len(again), hashlib.sha256(again).hexdigest())
    return again


def tensors_in(content: bytes) -> dict[str, Any]:
    return dict(safetensors.deserialize(content))


def header_bytes(content: bytes) -> bytes:
    return content[8 : 8 + int.from_bytes(content[:8], "little")]


@pytest.mark.parametrize("text", ["", "x", "xy", 'ü"\\\n\0', "x" * 100_000])
def test_the_tensors_stay_byte_for_byte_and_the_metadata_are_the_new_ones(text: str) -> None:
    content = lora_bytes(0.3, old="gone")
    again = rewritten(content, {"new": text})
    assert tensors_in(again) == tensors_in(content)
    assert again[-len(content) + 8 + len(header_bytes(content)) :] == content[8 + len(header_bytes(content)) :]
    assert json.loads(header_bytes(again))["__metadata__"] == {"new": text}
    assert inspect(io.BytesIO(again)).metadata == {"new": text}


@pytest.mark.parametrize("length", range(9))
def test_tensors_begin_where_a_mapped_file_is_aligned(length: int) -> None:
    assert len(header_bytes(rewritten(lora_bytes(), {"x": "y" * length}))) % 8 == 0


def test_tensors_that_lie_in_another_order_than_their_names_are_kept_where_they_are() -> None:
    header = header_of({UP: [32, 4], DOWN: [4, 32]})
    header = {DOWN: header[DOWN], UP: header[UP]}
    content = file_of(header, struct.pack("<256f", *range(256)))
    assert tensors_in(rewritten(content, {})) == tensors_in(content)


def test_the_hash_of_the_tensors_is_nothing_to_the_metadata() -> None:
    content = lora_bytes()
    body = content[8 + len(header_bytes(content)) :]
    hashes = {
        tensors_sha256(source, read_header(source))
        for source in map(io.BytesIO, (content, rewritten(content, {"a": "b"})))
    }
    assert hashes == {hashlib.sha256(body).hexdigest()}


def test_metadata_that_would_make_the_file_unreadable_are_refused() -> None:
    with pytest.raises(HeaderTooLarge):
        rewritten(file_of(header_of(pair()), bytes(1024)), {"x": "y" * 10_000_000})
