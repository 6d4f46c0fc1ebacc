"""Deleting rows from the admin's lists and pages: each by itself, and in the audit trail only once it is gone."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import ModelAdmin

# More lines than that nobody reads, and messages travel in a cookie.
NAMED = 10


class DeletingAdmin(ModelAdmin):
    """`delete_model` deletes a row, and raises one of `refusals`, in words, where it has to stay."""

    refusals: tuple[type[Exception], ...] = ()
    # Takes the place of the stock action, which records all as deleted before it begins.
    actions: Any = ("delete_selected",)

    @admin.action(description="Delete selected %(verbose_name_plural)s", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask first. Those that cannot go stay and are named, and the others go."""
        if not request.POST.get("post"):
            # The stock action only asks then.
            return delete_selected(self, request, queryset)
        count, refused = 0, []
        for row in list(queryset):
            try:
                self.delete_model(request, row)
            except ObjectDoesNotExist:
                # Somebody else was quicker.
                continue
            except self.refusals as exc:
                refused.append(f"{row} stays: {exc}")
            else:
                count += 1
                self.log_deletions(request, [row])
        self._report(request, count, refused)
        return None

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            response: HttpResponse = super().delete_view(request, object_id, extra_context)
        except self.refusals as exc:
            # It came into use between the look at it and the deletion; what was recorded is undone with the rest.
            self.message_user(request, str(exc), messages.WARNING)
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            return HttpResponseRedirect(reverse(name, args=[quote(unquote(object_id))]))
        return response

    def _report(self, request: HttpRequest, count: int, refused: list[str]) -> None:
        if count:
            named = self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural
            self.message_user(request, f"{count} {named} deleted, with all that was theirs.", messages.SUCCESS)
        for line in refused[:NAMED]:
            self.message_user(request, line, messages.WARNING)
        if len(refused) > NAMED:
            self.message_user(request, f"{len(refused) - NAMED} more stay.", messages.WARNING)
