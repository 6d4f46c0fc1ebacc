"""Write a job file's content as YAML without a library."""

import json
import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_RESERVED = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def to_yaml(content: dict[str, Any]) -> str:
    return "\n".join(_lines(content, "")) + "\n"


def _lines(value: Any, indent: str) -> list[str]:
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _entry(_scalar(key) + ":", item, indent)]
    return [line for item in value for line in _list_item(item, indent)]


def _entry(key: str, item: Any, indent: str) -> list[str]:
    if not (isinstance(item, dict | list) and item):
        return [f"{indent}{key} {_scalar(item)}"]
    deeper = indent if isinstance(item, list) else indent + "  "
    return [f"{indent}{key}", *_lines(item, deeper)]


def _list_item(item: Any, indent: str) -> list[str]:
    if not (isinstance(item, dict | list) and item):
        return [f"{indent}- {_scalar(item)}"]
    first, *rest = _lines(item, indent + "  ")
    return [f"{indent}- {first[len(indent) + 2 :]}", *rest]


def _scalar(value: Any) -> str:
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)
