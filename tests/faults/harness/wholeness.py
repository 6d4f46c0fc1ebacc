"""Whether the bytes of a file are all there, as far as its format tells."""

import json
import struct
from io import BytesIO
from pathlib import PurePath

from PIL import Image

PICTURES = (".png", ".jpg", ".webp")
END_OF_PNG = b"IEND\xaeB`\x82"


def why_broken(name: str, content: bytes) -> str:
    """Return what is wrong with a picture, a LoRA or a JSON file; "" where nothing is, or nobody can tell."""
    suffix = PurePath(name).suffix
    try:
        if suffix in PICTURES:
            _read_picture(suffix, content)
        elif suffix == ".safetensors":
            _read_safetensors(content)
        elif suffix == ".jsonl":
            for line in content.splitlines():
                json.loads(line)
        elif suffix == ".json":
            json.loads(content)
    except (OSError, ValueError, struct.error, KeyError) as exc:
        return str(exc) or type(exc).__name__
    return ""


def size_of(picture: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(picture)) as opened:
        return opened.size


def _read_picture(suffix: str, content: bytes) -> None:
    """Raises OSError or ValueError unless it can be decoded, and a PNG is there to its last byte."""
    with Image.open(BytesIO(content)) as picture:
        picture.load()
    if suffix == ".png" and not content.endswith(END_OF_PNG):
        raise ValueError("the end of the picture is missing")


def _read_safetensors(content: bytes) -> None:
    """Raises ValueError unless the header is whole and its tensors fill the file to the last byte."""
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
    header = json.loads(content[8 : 8 + length])
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    if 8 + length + max(ends, default=0) != len(content):
        raise ValueError("the tensors do not fill the file")
