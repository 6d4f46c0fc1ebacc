"""Timestamps as the API writes them."""

from datetime import UTC, datetime


def iso_milliseconds(moment: datetime) -> str:
    """Return UTC with milliseconds and `Z`: 2025-01-15T10:30:00.000Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
