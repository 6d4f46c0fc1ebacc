"""Values that a field or a query parameter must refuse, derived from what the OpenAPI document says it takes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.contract.openapi import resolved

# One of each type, as JSON text.
OF_TYPE = {
    "null": "null",
    "boolean": "true",
    "integer": "7",
    "number": "7.5",
    "string": '"seven"',
    "array": "[7]",
    "object": '{"seven": 7}',
}
BELL = "bell\u0007"


@dataclass(frozen=True)
class Field:
    """A place in a request body: `steps` leads there, `schema` says what belongs there."""

    steps: tuple[str | int, ...]
    schema: dict
    is_required: bool

    @property
    def name(self) -> str:
        return ".".join(map(str, self.steps))

    def put(self, body: dict, raw: str) -> str:
        """Return `body` as JSON with `raw`, which is JSON text, in this place."""
        mark = "put it here"
        return json.dumps(self._replaced(body, mark)).replace(json.dumps(mark), raw)

    def without(self, body: dict) -> str:
        changed = json.loads(json.dumps(body))
        del self._parent(changed)[self.steps[-1]]
        return json.dumps(changed)

    def _replaced(self, body: dict, value: object) -> dict:
        changed = json.loads(json.dumps(body))
        self._parent(changed)[self.steps[-1]] = value
        return changed

    def _parent(self, body: dict) -> dict:
        for step in self.steps[:-1]:
            body = body[step]
        return body


def fields(schema: dict, before: tuple[str | int, ...] = ()) -> Iterator[Field]:
    """Yield every field of an object, those of objects in it and in its lists too."""
    for name, described in schema.get("properties", {}).items():
        place = (*before, name)
        inner = resolved(described)
        yield Field(place, inner, name in schema.get("required", []))
        yield from fields(inner, place)
        if inner.get("type") == "array":
            yield from fields(resolved(inner["items"]), (*place, 0))


def branches(schema: dict) -> list[dict]:
    """Return the alternatives of a schema, each with what holds for all of them."""
    alternatives = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    common = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
    if not alternatives:
        return [common]
    return [branch for alternative in alternatives for branch in branches({**common, **resolved(alternative)})]


def types(schema: dict) -> set[str]:
    given = schema.get("type", [])
    named = {given} if isinstance(given, str) else set(given)
    return named | ({"integer"} if "number" in named else set())


def bad_values(schema: dict) -> Iterator[str]:
    """Yield JSON text of values that no branch of the schema takes."""
    taken = branches(schema)
    allowed = set().union(*map(types, taken))
    if allowed:
        yield from (raw for name, raw in OF_TYPE.items() if name not in allowed)
    for branch in taken:
        yield from _out_of_range(branch)


def _out_of_range(branch: dict) -> Iterator[str]:
    if "minimum" in branch:
        yield json.dumps(branch["minimum"] - 1)
    if "maximum" in branch:
        yield json.dumps(branch["maximum"] + 1)
        yield "1" + "0" * 30
    if "maxLength" in branch:
        yield json.dumps("x" * (branch["maxLength"] + 1))
        yield json.dumps("x" * 500_000)
    if branch.get("minLength"):
        yield '""'
    if "pattern" in branch and "maxLength" in branch:
        yield json.dumps(BELL)
    if "enum" in branch or "const" in branch:
        yield '"no such value"' if "string" in types(branch) else "1000003"
    if "maxItems" in branch:
        yield json.dumps(["x"] * (branch["maxItems"] + 1))


def bad_query_values(schema: dict) -> Iterator[str]:
    """Yield what a query parameter must refuse."""
    if schema.get("type") == "integer":
        yield from ("", " ", "x", "-1", "1.5", "1e1", "0x1", "\u0663", "null", "9" * 30, str(schema["maximum"] + 1))
    elif schema.get("type") == "boolean":
        yield from ("", "maybe", "1", "null")
    elif "enum" in schema.get("items", schema):
        yield from ("", "no such value", "\x00", "x" * 5000)
    else:
        yield from ("a\x00b", "x" * (schema["maxLength"] + 1))
