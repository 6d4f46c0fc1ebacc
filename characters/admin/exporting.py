"""A list as a file for other programs: what the filters and the search leave, in the list's order.

Rows are read and sent some at a time, so that a list of any length takes no memory.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.forms import Media
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    QueryDict,
    StreamingHttpResponse,
)
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin

ROWS_AT_ONCE = 500
# What a spreadsheet takes for the beginning of a formula, or skips before it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Where one is in the list and how it is sorted narrow nothing.
NO_FILTERS = frozenset({"o", "p", "all", "e", "_facets"})
FIELDS = {"q": "search", "completed_at": "ended", "created_at": "created", "action_time": "done"}
LOOKUPS = {"gte": "since", "lte": "until", "lt": "before", "_from": "from", "_to": "until"}

Column = Callable[[Any], Any]


class ExportingAdmin(ModelAdmin):
    """To be told the columns. Shows above its list what it is narrowed by, and exports it."""

    list_before_template = "admin/characters/list_bar.html"
    list_note = ""
    export_columns: Mapping[str, Column] = {}

    @property
    def media(self) -> Media:
        inherited: Media = super().media
        return inherited + Media(css={"all": ["characters/list_bar.css"]})

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export_view)
        standard: list[URLPattern] = super().get_urls()
        return [path("export.<str:form>", export, name=self._export_name()), *standard]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        if form not in WRITERS:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            # As the list itself does with filters that mean nothing.
            return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))
        content_type, write = WRITERS[form]
        named = f"{self.opts.verbose_name_plural}-{timezone.now():%Y-%m-%d-%H%M}".replace(" ", "-")
        attached = {"Content-Disposition": f'attachment; filename="{named}.{form}"'}
        records = self._records(rows.iterator(chunk_size=ROWS_AT_ONCE))
        text = _together(write(list(self.export_columns), records))
        return StreamingHttpResponse(text, content_type, headers=attached)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        sent = request.GET.urlencode()
        bar = {
            "list_note": self.list_note,
            "narrowed": _narrowed(request.GET),
            "exports": [
                (form.upper(), reverse(f"admin:{self._export_name()}", args=[form]) + (f"?{sent}" if sent else ""))
                for form in WRITERS
            ],
        }
        response: HttpResponse = super().changelist_view(request, (extra_context or {}) | bar)
        return response

    def _records(self, rows: Iterable[Any]) -> Iterator[dict[str, Any]]:
        for row in rows:
            yield {name: _plain(column(row)) for name, column in self.export_columns.items()}

    def _export_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_export"


def _together(pieces: Iterator[str]) -> Iterator[str]:
    """Join what is a line each, because each part of an answer costs as much to send as a thousand lines do."""
    while some := list(islice(pieces, ROWS_AT_ONCE)):
        yield "".join(some)


class _Line:
    """What the CSV writer writes to: keeps the last line."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def _as_csv(names: list[str], records: Iterator[dict[str, Any]]) -> Iterator[str]:
    line = _Line()
    writer = csv.writer(line)
    writer.writerow(names)
    yield line.text
    for record in records:
        writer.writerow([harmless(value) for value in record.values()])
        yield line.text


def _as_json(_: list[str], records: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield "["
    for number, record in enumerate(records):
        yield (",\n" if number else "\n") + json.dumps(record, ensure_ascii=False)
    yield "\n]\n"


WRITERS = {"csv": ("text/csv; charset=utf-8", _as_csv), "json": ("application/json", _as_json)}


def harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet runs as a formula. Numbers are none, so they stay what they are."""
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.lstrip(" ").startswith(FORMULA_STARTS) else value


def _plain(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _narrowed(sent: QueryDict) -> list[tuple[str, str, str]]:
    """Return what narrows the list: its name, its value, and the address of the list without it."""
    found = []
    for name in sent:
        if name in NO_FILTERS or not sent[name]:
            continue
        rest = sent.copy()
        del rest[name]
        rest.pop("p", None)
        found.append((_in_words(name), ", ".join(sent.getlist(name)), f"?{rest.urlencode()}"))
    return found


def _in_words(name: str) -> str:
    field, _, lookup = name.partition("__")
    for end in ("_from", "_to"):
        if field.endswith(end):
            field, lookup = field.removesuffix(end), end
    return f"{FIELDS.get(field, field.replace('_', ' '))} {LOOKUPS.get(lookup, '')}".strip()
