"""`limit` and `offset`, with the total in `X-Total-Count`; the body stays a plain list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from characters.queries import whole_number

if TYPE_CHECKING:
    from rest_framework.views import APIView

MAX_LIMIT = 100
MAX_OFFSET = 2**31 - 1


class LimitOffset(BasePagination):
    """A view's `default_limit` (None: everything) applies where the client names none."""

    total: int

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        default = getattr(view, "default_limit", None)
        limit = whole_number(request, "limit", default=default, lowest=1, highest=MAX_LIMIT)
        offset = whole_number(request, "offset", default=0, lowest=0, highest=MAX_OFFSET)
        self.total = queryset.count()
        return list(queryset[offset : offset + limit if limit else None])

    def get_paginated_response(self, data: Any) -> Response:
        return Response(data, headers={"X-Total-Count": str(self.total)})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return schema

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        default = getattr(view, "default_limit", None)
        described = f"At most this many (default {default})." if default else "At most this many (default: all)."
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}
        offset = {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}
        return [
            {"name": "limit", "in": "query", "required": False, "description": described, "schema": limit},
            {
                "name": "offset",
                "in": "query",
                "required": False,
                "description": "Leave out the first.",
                "schema": offset,
            },
        ]
