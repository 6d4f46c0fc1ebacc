"""The first page of the admin: what runs, what waits, what broke, at a glance."""

from typing import Any

from django.http import HttpRequest


def add_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of the first page."""
    return context
