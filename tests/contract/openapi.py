"""The OpenAPI document as tests read it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver
from jsonschema_rs import Draft202012Validator

from isengard.api.schema.views import document

PLACEHOLDER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    described: dict

    @property
    def id(self) -> str:
        return self.described["operationId"]

    @property
    def body(self) -> dict:
        """The schema of its JSON body; empty where it takes none."""
        content = self.described.get("requestBody", {}).get("content", {})
        return resolved(content.get("application/json", {}).get("schema", {}))

    def parameters(self, place: str) -> list[dict]:
        given = [resolved(parameter) for parameter in self.described["parameters"]]
        return [parameter for parameter in given if parameter["in"] == place]

    def responses(self) -> dict[str, dict]:
        return {status: resolved(response) for status, response in self.described["responses"].items()}

    def address(self, **arguments: str) -> str:
        return self.path.format_map(arguments)


def operations() -> list[Operation]:
    return [
        Operation(method, path, described)
        for path, methods in document()["paths"].items()
        for method, described in methods.items()
    ]


def operation(operation_id: str) -> Operation:
    return next(found for found in operations() if found.id == operation_id)


def resolved(part: dict) -> dict:
    if "$ref" not in part:
        return part
    found = document()
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def complaints(value: object, schema: dict) -> list[str]:
    """Return what is wrong with `value` by a schema of the document."""
    whole = {**schema, "components": document()["components"]}
    return [f"{error.instance_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)]


def routes(resolver: URLResolver | None = None, before: str = "/") -> Iterator[str]:
    """Yield each address that the project serves, as OpenAPI would write it."""
    for pattern in (resolver or get_resolver()).url_patterns:
        address = before + PLACEHOLDER.sub(r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield address
        elif pattern.app_name != "admin":
            yield from routes(pattern, address)
