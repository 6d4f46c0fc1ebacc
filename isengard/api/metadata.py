"""What OPTIONS answers."""

from typing import TYPE_CHECKING

from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request

if TYPE_CHECKING:
    from rest_framework.views import APIView


class AllowedMethods(BaseMetadata):
    """The methods, as in the `Allow` header. DRF's own would look for forms, which this API does not have."""

    def determine_metadata(self, request: Request, view: "APIView") -> dict[str, list[str]]:
        return {"methods": list(view.allowed_methods)}
