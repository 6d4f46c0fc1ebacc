"""Buttons on lists and pages. Each posts a verb to one address, and who pressed it is in the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

ROW_BUTTON = '<button class="act" formaction="{}" name="verb" value="{}" title="{}" aria-label="{}">{}</button>'


class NothingToDo(Exception):
    """It is so already, as after a second click; the text says so."""


@dataclass(frozen=True, slots=True)
class Button:
    verb: str
    label: str
    hint: str = ""


class ActingAdmin(ModelAdmin):
    """To be told which `buttons` a row has now, and how to `press` one."""

    # Outside of the page's own form.
    change_form_outer_before_template = "admin/jobs/buttons.html"

    def buttons(self, row: Any) -> Sequence[Button]:
        raise NotImplementedError

    def press(self, verb: str, row: Any) -> str:
        """Return what was done, in a sentence. Raises NothingToDo, and KeyError for an unknown verb."""
        raise NotImplementedError

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def get_urls(self) -> list[URLPattern]:
        act = self.admin_site.admin_view(self.act_view)
        standard: list[URLPattern] = super().get_urls()
        # Before them: the last of theirs takes any path for a row's key.
        return [path("<path:object_id>/act/", act, name=self._page("act")), *standard]

    def act_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_operate_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        # A button of the list says the verb and nothing of where it stands.
        verb, _, place = request.POST.get("verb", "").partition(" ")
        self.do(request, verb, row)
        page = ("change", [quote(row.pk)]) if place == "page" else ("changelist", [])
        return HttpResponseRedirect(reverse(f"admin:{self._page(page[0])}", args=page[1]))

    def do(self, request: HttpRequest, verb: str, row: Any) -> bool:
        """Return whether there was anything to do. Raises Http404."""
        try:
            done = self.press(verb, row)
        except KeyError as exc:
            raise Http404 from exc
        except NothingToDo as exc:
            self.message_user(request, str(exc), messages.INFO)
            return False
        self.log_change(request, row, done)
        self.message_user(request, f"{row.pk}: {done}", messages.SUCCESS)
        return True

    def get_list_display(self, request: HttpRequest) -> list[Any] | tuple[Any, ...]:
        shown = super().get_list_display(request)
        return (*shown, "row_buttons") if self.has_operate_permission(request) else shown

    @admin.display(description="Actions")
    def row_buttons(self, row: Any) -> SafeString:
        # The whole list is one form already, so each button says itself where it posts to.
        address = reverse(f"admin:{self._page('act')}", args=[quote(row.pk)])
        shown = (
            (address, button.verb, button.hint, f"{button.label}: {row.pk}", button.label)
            for button in self.buttons(row)
        )
        return format_html('<div class="acts">{}</div>', format_html_join("", ROW_BUTTON, shown))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: Any = False,  # noqa: FBT002 - as Django declares it.
        change: Any = False,  # noqa: FBT002
        form_url: str = "",
        obj: Model | None = None,
    ) -> HttpResponse:
        if obj is not None and self.has_operate_permission(request):
            context["act_buttons"] = self.buttons(obj)
            context["act_address"] = reverse(f"admin:{self._page('act')}", args=[quote(obj.pk)])
        response: HttpResponse = super().render_change_form(request, context, add, change, form_url, obj)
        return response

    def _page(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"
