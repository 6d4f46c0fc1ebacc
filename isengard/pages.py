"""Pages for people."""

import sys
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe
from django.views.defaults import server_error

from isengard.api.errors import database_away, is_for_programs
from isengard.api.exceptions import Unavailable
from jobs.patience import is_away


@require_safe
def front_page(request: HttpRequest) -> HttpResponse:
    return render(request, "isengard/front.html", {"version": settings.VERSION, "mode": settings.MODE})


def failure(request: HttpRequest) -> HttpResponse:
    """Word what no view caught: Django's `handler500`. A database that is away is told apart from a bug."""
    if not is_away(sys.exception()):
        return server_error(request)
    if is_for_programs(request):
        return database_away()
    # Without the request, whose session and user are in that database.
    page = HttpResponse(render_to_string("isengard/away.html"), status=HTTPStatus.SERVICE_UNAVAILABLE)
    page.headers["Retry-After"] = str(Unavailable.wait)
    return page
