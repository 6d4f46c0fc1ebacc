"""A row's page that shows more than its form."""

from typing import Any

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin


class OwnPageAdmin(ModelAdmin):
    def shown_beside(self, request: HttpRequest, row: Model) -> dict[str, Any]:
        """Return what the page's template needs beyond the form."""
        raise NotImplementedError

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: Any = False,  # noqa: FBT002 - as Django declares it.
        change: Any = False,  # noqa: FBT002
        form_url: str = "",
        obj: Model | None = None,
    ) -> HttpResponse:
        if obj is not None:
            context |= self.shown_beside(request, obj)
        response: HttpResponse = super().render_change_form(request, context, add, change, form_url, obj)
        return response
