"""Which generations a list shows."""

import json

from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from jobs.filters import OF_CHARACTER, OF_STATUS, states_of
from jobs.models import JobQuerySet
from jobs.requests import MAX_QUERY_LENGTH, query_text

OF_LORA = OpenApiParameter(
    "lora_id",
    {"type": "string", "maxLength": MAX_QUERY_LENGTH},
    description="Only those that used this LoRA, by its own id.",
)
OF_PROMPT = OpenApiParameter(
    "q",
    {"type": "string", "maxLength": MAX_QUERY_LENGTH},
    description="Only those with this text in the prompt, in capitals or not.",
)
FILTERS = [OF_STATUS, OF_CHARACTER, OF_LORA, OF_PROMPT]


def uses_lora(lora_id: str, *, loras: str = "order__loras") -> Q:
    """Return the condition that one of a job's `loras` has this id."""
    # As a whole value of JSON, so that neither a part of an id nor the name of a field is found. Databases differ in
    # how they write the same value.
    told = json.dumps(lora_id)
    return Q(**{f"{loras}__icontains": f'"id":{told}'}) | Q(**{f"{loras}__icontains": f'"id": {told}'})


def narrowed(jobs: JobQuerySet, request: Request) -> JobQuerySet:
    """Return those of `jobs` that the query asks for. Raises ValidationError."""
    wanted = Q()
    if "status" in request.query_params:
        wanted &= Q(status__in=states_of(request))
    if "character_id" in request.query_params:
        wanted &= Q(character_id=query_text(request, "character_id"))
    if "lora_id" in request.query_params:
        wanted &= uses_lora(query_text(request, "lora_id"))
    if "q" in request.query_params:
        wanted &= Q(config__prompt__icontains=query_text(request, "q"))
    return jobs.filter(wanted)
