"""How a view becomes an operation: drf-spectacular's reading, and what every operation has."""

import re
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry
from drf_spectacular.utils import Direction
from rest_framework.generics import GenericAPIView

from characters.serializers import Text

# Imported for its effect: drf-spectacular finds extensions by the classes that exist.
from isengard.api.schema import fields, pydantic_models  # noqa: F401
from isengard.api.schema.errors import add_errors
from isengard.api.schema.files import add_file_manners
from isengard.api.schema.headers import header, parameter

# What has two addresses needs two names in a client.
SECOND_NAMES = {
    "/health": "getHealthAtRoot",
    "/ready": "getReadyAtRoot",
    "/info": "getInfoAtRoot",
    "/api/outputs/{filename}": "getOutput",
}
PATH_PARAMETERS = {
    "character_id": "A character's id, such as char-0123456789ab.",
    "job_id": "A job's id, such as train-0123456789ab or gen-0123456789ab.",
    "lora_id": "A LoRA's id, such as lora-0123456789ab.",
    "filename": "A file's name, as a list or a job tells it.",
}


class ApiSchema(AutoSchema):
    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation is None:
            return None
        operation["operationId"] = SECOND_NAMES.get(path, operation["operationId"])
        operation.setdefault("summary", _as_words(operation["operationId"]))
        operation.setdefault("parameters", [])
        add_file_manners(operation)
        self._add_headers(operation)
        is_throttled = method == "POST" and getattr(self.view, "throttle_scope", None) is not None
        add_errors(operation, path=path, is_throttled=is_throttled)
        return operation

    def _add_headers(self, operation: dict[str, Any]) -> None:
        parameters = operation["parameters"]
        is_paged = isinstance(self.view, GenericAPIView) and any(given["name"] == "limit" for given in parameters)
        for given in parameters:
            if given["in"] == "path":
                given.setdefault("description", PATH_PARAMETERS.get(given["name"], ""))
        parameters.append(parameter("CorrelationId"))
        for status, response in operation["responses"].items():
            headers = response.setdefault("headers", {})
            headers.setdefault("X-Correlation-ID", header("CorrelationId"))
            if status == "200" and is_paged:
                headers.setdefault("X-Total-Count", header("TotalCount"))
            if status == "429":
                headers.setdefault("Retry-After", header("RetryAfter"))

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if type(serializer).__doc__ is None:
            # It would be that of a base class, which speaks to programmers.
            schema.pop("description", None)
        # What nobody reads is refused, so that a typing error does not look like a choice.
        return schema | {"additionalProperties": False} if direction == "request" else schema

    def _insert_field_validators(self, field: Any, schema: dict[str, Any]) -> None:
        # Our text fields are whole already, with their patterns; this would take an empty text for one too many.
        if not isinstance(field, Text):
            super()._insert_field_validators(field, schema)  # type: ignore[no-untyped-call]

    def get_serializer_name(self, serializer: Any, direction: Direction) -> str:
        name: str = super().get_serializer_name(serializer, direction)
        return name.removesuffix("Answer")

    def get_paginated_name(self, serializer_name: str) -> str:
        return f"{serializer_name}List"


def _as_words(operation_id: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", operation_id)
    return words[:1].upper() + words[1:].lower()
