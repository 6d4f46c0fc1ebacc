"""What every stored file can do over HTTP: parts of it, and "you have it already"."""

from typing import Any

RANGE = {
    "name": "Range",
    "in": "header",
    "required": False,
    "description": "One range of bytes, such as bytes=0-1023. Anything else is answered with the whole file.",
    "schema": {"type": "string"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the copy that the client has: 304 if it is current.",
    "schema": {"type": "string"},
}


def add_file_manners(operation: dict[str, Any]) -> None:
    """Complete an operation that serves a stored file, which is one that knows 304."""
    responses = operation["responses"]
    if "304" not in responses:
        return
    operation["parameters"] += [RANGE, IF_NONE_MATCH]
    whole = responses["200"]
    whole.setdefault("headers", {})["ETag"] = {
        "description": "Another one for other bytes.",
        "required": True,
        "schema": {"type": "string"},
    }
    responses.setdefault("206", {"description": "The range that was asked for.", "content": whole["content"]})
    responses.setdefault("416", {"description": "The file has no such range."})
