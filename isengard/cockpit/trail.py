"""The audit trail: who did what, and when. Everybody who may see it sees all of it, and nobody can change it."""

from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch
from django.utils.html import format_html
from django.utils.safestring import SafeString

from characters.admin.exporting import ExportingAdmin
from jobs import readable
from jobs.admin import showing
from jobs.admin.job_filters import ChoiceFilter, DaysFilter

WORDS = {1: "added", 2: "changed", 3: "deleted"}


class PersonFilter(ChoiceFilter):
    title = "person"
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        acted = LogEntry.objects.order_by().values("user_id")
        people = get_user_model().objects.filter(pk__in=acted).order_by("username")
        return [(name, name) for name in people.values_list("username", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        return queryset.filter(user__username=self.value()) if self.value() else queryset


class ThingFilter(ChoiceFilter):
    title = "kind of object"
    parameter_name = "thing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        touched = LogEntry.objects.order_by().values("content_type_id")
        found = ContentType.objects.filter(pk__in=touched)
        return sorted(((f"{each.app_label}.{each.model}", each.name) for each in found), key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        if not self.value():
            return queryset
        app, _, model = str(self.value()).partition(".")
        return queryset.filter(content_type__app_label=app, content_type__model=model)


class DoneFilter(ChoiceFilter):
    title = "what was done"
    parameter_name = "done"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, word) for word in WORDS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        flags = [flag for flag, word in WORDS.items() if word == self.value()]
        return queryset.filter(action_flag__in=flags) if self.value() else queryset


@admin.register(LogEntry)
class AuditTrailAdmin(showing.ReadOnly, ExportingAdmin):
    list_display = ("moment", "user", "done", "thing", "object_link", "message")
    list_select_related = ("user", "content_type")
    list_filter = (PersonFilter, ThingFilter, DoneFilter, ("action_time", DaysFilter))
    list_filter_submit = True
    list_note = "Who did what, on these pages and on the command line. Nobody can change it."
    list_per_page = 100
    search_fields = ("object_repr", "object_id", "change_message", "user__username")
    search_help_text = "What it was done to, what was done, or who did it."
    date_hierarchy = "action_time"
    ordering = ("-action_time", "-id")
    # Counting all entries only to say "1 of 300000" is not worth it.
    show_full_result_count = False
    fields = ("moment", "user", "done", "thing", "object_link", "object_id", "message")
    readonly_fields = fields
    export_columns = {
        "time": attrgetter("action_time"),
        "user": attrgetter("user.username"),
        "done": lambda entry: WORDS[entry.action_flag],
        "kind": lambda entry: _thing(entry),
        "id": attrgetter("object_id"),
        "name": attrgetter("object_repr"),
        "message": lambda entry: entry.get_change_message(),
    }

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": "Audit trail"} | (extra_context or {}))

    @admin.display(description="Time (UTC)", ordering="action_time")
    def moment(self, entry: LogEntry) -> str:
        return f"{entry.action_time:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="Done", ordering="action_flag")
    def done(self, entry: LogEntry) -> SafeString:
        return showing.badge(WORDS[entry.action_flag])

    @admin.display(description="Kind", ordering="content_type")
    def thing(self, entry: LogEntry) -> str:
        return _thing(entry) or readable.NOTHING

    @admin.display(description="What")
    def object_link(self, entry: LogEntry) -> SafeString | str:
        address = _address(entry)
        return format_html('<a href="{}">{}</a>', address, entry.object_repr) if address else entry.object_repr

    @admin.display(description="Message")
    def message(self, entry: LogEntry) -> str:
        return entry.get_change_message() or readable.NOTHING


def _thing(entry: LogEntry) -> str:
    return entry.content_type.name if entry.content_type else ""


def _address(entry: LogEntry) -> str | None:
    """Return None for what is gone, and for what has no page."""
    if entry.is_deletion() or entry.content_type is None:
        return None
    try:
        return entry.get_admin_url()
    except NoReverseMatch:
        return None
