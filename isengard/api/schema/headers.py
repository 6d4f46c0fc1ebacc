"""Headers that many operations share."""

from typing import Any

EXAMPLE_ID = "f3b1c2d4e5a697887960514233241506"

HEADERS: dict[str, dict[str, Any]] = {
    "CorrelationId": {
        "description": "The request's own X-Correlation-ID if it was sane, else a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
        "example": EXAMPLE_ID,
    },
    "TotalCount": {
        "description": "How many there are in all, whatever `limit` and `offset` show of them.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "RetryAfter": {
        "description": "Seconds to wait before the next try.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "maximum": 3600},
    },
    "Allow": {
        "description": "The methods that are allowed here, separated by commas.",
        "required": True,
        "schema": {"type": "string"},
    },
}
PARAMETERS: dict[str, dict[str, Any]] = {
    "CorrelationId": {
        "name": "X-Correlation-ID",
        "in": "header",
        "required": False,
        "description": "Names this request in every log line about it: at most 128 of letters, digits, `.`, `_`, `:` "
        "and `-`. Anything else is replaced by a new one.",
        "schema": {"type": "string"},
        "example": EXAMPLE_ID,
    },
}


def header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def parameter(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}
