"""Reading JSON that a person wrote: bounded, and refused in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from generation.workflows.errors import FileBroken

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_object(path: Path, *, max_bytes: int) -> dict[str, Any]:
    """Return the JSON object in the file. Raises FileBroken."""
    content = _read(path, max_bytes).removeprefix(BYTE_ORDER_MARK)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as exc:
        raise FileBroken(f"{path.name} is not JSON: {exc}.") from exc
    if not isinstance(value, dict):
        raise FileBroken(f"{path.name} must be a JSON object.")
    if b"\\u0000" in content:
        # PostgreSQL keeps no text with it.
        raise FileBroken(f"{path.name} must not contain the character U+0000.")
    return value


def _read(path: Path, max_bytes: int) -> bytes:
    # A pipe would be waited for without end.
    if not path.is_file():
        raise FileBroken(f"There is no file {path.name}.")
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as exc:
        raise FileBroken(f"{path.name} cannot be read: {exc.strerror or exc}.") from exc
    if len(content) > max_bytes:
        raise FileBroken(f"{path.name} is larger than {max_bytes // 1024} KiB.")
    return content


def complaints(exc: ValidationError) -> Iterator[str]:
    """Yield a sentence for each of pydantic's complaints, the first few."""
    for error in exc.errors(include_url=False, include_context=False, include_input=False)[:5]:
        place = ".".join(str(part) for part in error["loc"] if part != "[key]")
        text = error["msg"].removeprefix("Value error, ").rstrip(".")
        text = "there is no such key" if error["type"] == "extra_forbidden" else text
        yield f"{place}: {text}." if place else f"{text}."
