"""How values look on these pages. Markup only: colours and sizes are in the style sheet."""

from datetime import datetime
from typing import Any
from urllib.parse import quote as percent_encoded

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from characters.models import TrainingImage

STYLES = {"all": ["characters/pages.css"]}
NOTHING = "-"
LIST_SIDE_PIXELS = 96
GRID_SIDE_PIXELS = 384


def page_of(row: Model) -> str:
    """Return the address of the row's own page."""
    return reverse(f"admin:characters_{type(row).__name__.lower()}_change", args=[quote(row.pk)])


def link(row: Model, text: str = "") -> SafeString:
    return format_html('<a href="{}">{}</a>', page_of(row), text or str(row))


def address_of(page: str, *args: str, **query: str) -> str:
    """Return the address of a page of the admin that is no part of this app; "" where nobody offers it."""
    try:
        address = reverse(f"admin:{page}", args=[quote(argument) for argument in args])
    except NoReverseMatch:
        return ""
    told = {name: value for name, value in query.items() if value}
    return f"{address}?{urlencode(told)}" if told else address


def photo_url(character_id: str, name: str) -> str:
    return f"/api/characters/{percent_encoded(character_id)}/images/{percent_encoded(name, safe='')}"


def thumbnail(character_id: str, name: str, *, side_pixels: int = LIST_SIDE_PIXELS) -> SafeString:
    url = photo_url(character_id, name)
    return format_html('<img class="char-thumb" src="{}?size={}" alt="{}" loading="lazy">', url, side_pixels, name)


def linked_thumbnail(image: TrainingImage) -> SafeString:
    shown = thumbnail(image.character_id, image.name)
    return format_html('<a href="{}">{}</a>', photo_url(image.character_id, image.name), shown)


def age(moment: datetime | None) -> SafeString | str:
    """Return how long ago, roughly, with the moment itself as the tooltip."""
    if moment is None:
        return NOTHING
    since = timesince(moment, timezone.now(), depth=1)
    said = "just now" if since.startswith("0") else f"{since} ago"
    return format_html('<span title="{}">{}</span>', moment.isoformat(timespec="seconds"), said)


def facts(*known: tuple[str, Any]) -> list[tuple[str, Any]]:
    """Return those that are known."""
    return [(label, value) for label, value in known if value not in (None, "", [])]
