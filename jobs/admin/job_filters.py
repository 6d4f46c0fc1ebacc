"""What the list of jobs can be narrowed by. All of them are plain form fields, so that they work without scripts."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter
from unfold.contrib.filters.forms import DropdownForm
from unfold.widgets import INPUT_CLASSES, UnfoldAdminSelectWidget

from jobs import kinds
from jobs.models import Job, Slot, Status

NO_CAUSE = "-"
DAYS = {"created_at": "day of creation", "completed_at": "day of its end", "action_time": "day"}


class ChoiceForm(DropdownForm):
    """The browser's own list, which phones and keyboards know."""

    widget = UnfoldAdminSelectWidget()

    class Media:
        js = ()
        css: dict[str, tuple[str, ...]] = {}


class ChoiceFilter(DropdownFilter):
    form_class = ChoiceForm

    def has_output(self) -> bool:
        return True


class KindFilter(ChoiceFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, kinds.get(name).title) for name in kinds.names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class StatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in Status.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class CharacterFilter(TextFilter):
    title = "character (name or id)"
    parameter_name = "character"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """`character_name` is what `JobAdmin` adds to its rows; who was deleted is named by the order alone."""
        words = (self.value() or "").strip()
        if not words:
            return queryset
        named = Q(character_name__icontains=words) | Q(order__character_name__icontains=words)
        return queryset.filter(Q(character_id=words) | named)


class CauseFilter(ChoiceFilter):
    title = "cause of failure"
    parameter_name = "cause"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = Job.objects.exclude(failure_cause="").order_by("failure_cause")
        causes = known.values_list("failure_cause", flat=True).distinct()
        return [*((cause, cause.replace("_", " ")) for cause in causes), (NO_CAUSE, "failed, none known")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        if self.value() == NO_CAUSE:
            return queryset.filter(status=Status.FAILED, failure_cause="")
        return queryset.filter(failure_cause=self.value()) if self.value() else queryset


class SlotFilter(ChoiceFilter):
    title = "slot"
    parameter_name = "slot"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Slot.objects.order_by("name").values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(slot=self.value()) if self.value() else queryset


class EngineFilter(ChoiceFilter):
    title = "engine"
    parameter_name = "engine"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("held", "at work or stopping"), ("gone", "not involved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(holder__isnull=self.value() != "held") if self.value() else queryset


class DaysForm(forms.Form):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shown = {"type": "date", "class": " ".join(INPUT_CLASSES)}
        for end, label in (("_from", "From"), ("_to", "Until")):
            self.fields[name + end] = forms.DateField(label=label, required=False, widget=forms.DateInput(attrs=shown))


class DaysFilter(admin.FieldListFilter):
    """Whole days in UTC, the first and the last included."""

    template = "admin/jobs/filter_days.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = DAYS.get(self.field_path, self.title)

    def expected_parameters(self) -> list[str | None]:
        return [f"{self.field_path}_from", f"{self.field_path}_to"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = self._day("_from"), self._day("_to")
        if first:
            queryset = queryset.filter(**{f"{self.field_path}__gte": datetime.combine(first, time.min, UTC)})
        if last:
            # Not before the next midnight: the last day that there is has none.
            queryset = queryset.filter(**{f"{self.field_path}__lte": datetime.combine(last, time.max, UTC)})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        shown = {name: self._text(name) for name in self.expected_parameters()}
        yield {"form": DaysForm(name=self.field_path, data=shown)}

    def _text(self, name: str | None) -> str:
        sent = self.used_parameters.get(name or "", "")
        return str(sent[-1] if isinstance(sent, list) else sent)

    def _day(self, end: str) -> date | None:
        """Return None for what is no day, as for none at all: the form shows what was sent."""
        try:
            return date.fromisoformat(self._text(self.field_path + end))
        except ValueError:
            return None
