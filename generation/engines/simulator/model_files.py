"""Reads and writes safetensors files without a tensor library."""

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from generation.engines.simulator.folders import Folders, write_atomically

PLACEHOLDERS = {
    "diffusion_models": ("flux1-dev.safetensors", "flux1-schnell.safetensors"),
    "text_encoders": ("t5xxl_fp16.safetensors", "clip_l.safetensors"),
    "vae": ("ae.safetensors",),
}
HEADER_MAX_BYTES = 100_000_000
CHUNK_BYTES = 1 << 20

# The names of FLUX's blocks as diffusers (PEFT) and as the original code (kohya) spell them.
_PEFT_KEY = re.compile(
    r"(?P<module>(transformer|diffusion_model|base_model\.model)\."
    r"((single_)?transformer_blocks|(double|single)_blocks)\.\d+\..+)\.(lora_A|lora_B|lora_down|lora_up)\.weight"
)
_KOHYA_KEY = re.compile(r"(?P<module>lora_(unet|transformer)_(double|single)_.+)\.(lora_down|lora_up)\.weight")
_SECOND_HALF = (".lora_B.weight", ".lora_up.weight")


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


def lora_digest(path: Path) -> str | None:
    """Return a digest of the weights, or None if no pair of keys belongs to FLUX: such a file changes nothing."""
    header = read_header(path)
    modules = flux_modules(set(header.tensors))
    if not modules:
        return None
    digest = hashlib.blake2b(json.dumps(header.tensors, sort_keys=True).encode(), digest_size=32)
    with path.open("rb") as file:
        file.seek(header.data_offset)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def flux_modules(keys: set[str]) -> set[str]:
    """Return the FLUX modules for which both halves of a low-rank pair are among `keys`."""
    halves: dict[str, set[bool]] = {}
    for key in keys:
        match = _PEFT_KEY.fullmatch(key) or _KOHYA_KEY.fullmatch(key)
        if match:
            halves.setdefault(match["module"], set()).add(key.endswith(_SECOND_HALF))
    return {module for module, found in halves.items() if len(found) == 2}


def create_placeholders(folders: Folders) -> None:
    """Write the model files of a FLUX set-up where they are missing: real safetensors files of one weight each."""
    for folder, names in PLACEHOLDERS.items():
        present = folders.model_files(folder)
        for name in names:
            if name not in present:
                write_atomically(folders.base / "models" / folder / name, _placeholder(name))


def _placeholder(name: str) -> bytes:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt", "stand_in_for": name},
            "weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)
