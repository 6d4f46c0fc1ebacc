"""The errors that an operation may answer with, whatever it does."""

from typing import Any

from isengard.api.schema.headers import EXAMPLE_ID, header

ERROR_SCHEMA = {"$ref": "#/components/schemas/Error"}


def _response(description: str, detail: str, **headers: dict[str, str]) -> dict[str, Any]:
    named = {name.replace("_", "-"): reference for name, reference in headers.items()}
    return {
        "description": description,
        "headers": {"X-Correlation-ID": header("CorrelationId"), **named},
        "content": {"application/json": {"schema": ERROR_SCHEMA, "example": {"detail": detail}}},
    }


RESPONSES: dict[str, dict[str, Any]] = {
    "BadRequest": _response(
        "The request is not valid; the sentence names the field and the limit.",
        "config.steps: input should be greater than or equal to 100.",
    ),
    "NotFound": _response("There is no such thing.", "Character char-xxx not found"),
    "MethodNotAllowed": _response(
        "This address does not know the method.", 'Method "PUT" not allowed.', Allow=header("Allow")
    ),
    "TooLarge": _response("The body is over the limit.", "The request body is too large; send at most 1000000 bytes."),
    "UnsupportedMediaType": _response(
        "The body is of another media type.", 'Unsupported media type "text/csv" in request.'
    ),
    "Conflict": _response(
        "The same `Idempotency-Key` came with other parameters.",
        "This Idempotency-Key was used with other parameters; send a new one.",
    ),
    "RateLimited": _response(
        "Too many requests from this address in a minute.",
        "Rate limit exceeded. Try again in 12 seconds.",
        Retry_After=header("RetryAfter"),
    ),
    "InternalError": _response(
        "A crash. The log has it under the correlation id.",
        f"Something went wrong on our side. Tell the operator this id: {EXAMPLE_ID}",
    ),
    "Unavailable": _response(
        "Something that this service stands on does not answer.",
        "The database does not answer at the moment; try again later.",
    ),
    "StorageFull": _response(
        "There is no room left to keep it.",
        "The server's storage is full, so this could not be kept; tell the operator and try again later.",
    ),
}
ALWAYS = {"400": "BadRequest", "405": "MethodNotAllowed", "500": "InternalError", "503": "Unavailable"}
WITH_A_BODY = {"413": "TooLarge", "415": "UnsupportedMediaType", "507": "StorageFull"}
LOWEST_ERROR = 400


def add_errors(operation: dict[str, Any], *, path: str, is_throttled: bool) -> None:
    """Add the errors that the view does not describe itself, and give those that it does the one error body."""
    possible = dict(ALWAYS)
    if "{" in path:
        possible["404"] = "NotFound"
    if "requestBody" in operation:
        possible |= WITH_A_BODY
    if is_throttled:
        possible["429"] = "RateLimited"
    if any(given.get("name") == "Idempotency-Key" for given in operation["parameters"]):
        possible["409"] = "Conflict"
    responses = operation["responses"]
    for status, response in responses.items():
        if int(status) >= LOWEST_ERROR:
            response.setdefault("content", {"application/json": {"schema": ERROR_SCHEMA}})
    for status, name in possible.items():
        responses.setdefault(status, {"$ref": f"#/components/responses/{name}"})
    operation["responses"] = dict(sorted(responses.items()))
