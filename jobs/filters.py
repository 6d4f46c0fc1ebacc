"""What lists of jobs can be narrowed by."""

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from jobs.models import Status
from jobs.requests import MAX_QUERY_LENGTH, query_text

OF_CHARACTER = OpenApiParameter(
    "character_id", {"type": "string", "maxLength": MAX_QUERY_LENGTH}, description="Only this character's."
)
OF_STATUS = OpenApiParameter(
    "status",
    {"type": "array", "items": {"type": "string", "enum": Status.values}, "minItems": 1},
    style="form",
    explode=False,
    description="Only these states, separated by commas.",
)


def states_of(request: Request) -> list[str]:
    """Return the states that the query names. Raises ValidationError."""
    states = query_text(request, "status").split(",")
    if not set(states) <= set(Status.values):
        raise ValidationError({"status": f"must be some of {', '.join(Status.values)}, separated by commas."})
    return states
