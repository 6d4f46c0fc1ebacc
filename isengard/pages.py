"""Pages for people."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def front_page(request: HttpRequest) -> HttpResponse:
    return render(request, "isengard/front.html", {"version": settings.VERSION, "mode": settings.MODE})
