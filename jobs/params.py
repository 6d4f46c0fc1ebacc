"""Parameters are declared once, as pydantic models in the apps above: this reads requests by them and tells of them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from rest_framework import exceptions

Model = TypeVar("Model", bound=BaseModel)

TYPE_NAMES = {"integer": "int", "number": "float", "boolean": "bool", "string": "string", "array": "list"}


def parse(model: type[Model], body: Any) -> Model:
    """Return the body as `model`. Raises a ValidationError that names each wrong field, its limit and unknown keys."""
    if not isinstance(body, dict):
        raise exceptions.ValidationError("The request body must be a JSON object.")
    try:
        return model.model_validate(body)
    except ValidationError as exc:
        raise as_api_error(exc) from exc


def as_api_error(exc: ValidationError, *, below: str = "") -> exceptions.ValidationError:
    """Return pydantic's complaints by the dotted path of their field."""
    complaints = {_path(error, below): [_words(error)] for error in exc.errors(include_url=False, include_context=True)}
    return exceptions.ValidationError(complaints)


def _path(error: ErrorDetails, below: str) -> str:
    # pydantic adds the branch of a union that it tried; a client knows only its own keys.
    parts = [str(part) for part in error["loc"] if not _is_branch(str(part))]
    return ".".join(([below] if below else []) + parts)[:200]


def _is_branch(part: str) -> bool:
    return part == "str" or part.startswith(("list[", "function-", "constrained-"))


def _words(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such parameter."
    if error["type"] == "missing":
        return "this field is required."
    text = error["msg"].removeprefix("Value error, ")
    return text[:1].lower() + text[1:] + ("" if text.endswith(".") else ".")


def describe(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return what `/info` says of each parameter: type, range or options, default, words, and whether it is wired."""
    return {name: _described(schema) for name, schema in model.model_json_schema()["properties"].items()}


def _described(schema: Mapping[str, Any]) -> dict[str, Any]:
    branches = [branch for branch in schema.get("anyOf", [schema]) if branch.get("type") != "null"]
    main = {**schema, **branches[0]}
    options = main.get("enum") or ([main["const"]] if "const" in main else None)
    numbers = options if options and all(isinstance(option, int) for option in options) else []
    known = {
        "type": TYPE_NAMES.get(main.get("type", ""), "enum" if options else "string"),
        "min": main.get("minimum", min(numbers, default=None)),
        "max": main.get("maximum", max(numbers, default=None)),
        "min_length": main.get("minLength"),
        "max_length": main.get("maxLength"),
        "options": options,
    }
    described = {key: value for key, value in known.items() if value is not None}
    described |= {"default": schema["default"]} if "default" in schema else {"required": True}
    described |= {"wired": schema.get("wired", True), "description": schema.get("description", "")}
    return described | ({"reason": schema["reason"]} if schema.get("reason") else {})
