"""All addresses. What the API has is below /api; health, readiness and capabilities also at the root."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from isengard.api.client_logs import ClientLogsView
from isengard.api.health import HealthView, InfoView, ReadyView
from isengard.api.schema.views import DocsView, SchemaView
from isengard.cockpit.addresses import admin_urls
from isengard.pages import front_page

service = [
    path("health", HealthView.as_view()),
    path("ready", ReadyView.as_view()),
    path("info", InfoView.as_view()),
]
api: list[URLPattern | URLResolver] = [
    *service,
    path("client-logs", ClientLogsView.as_view()),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", DocsView.as_view(), name="docs"),
    path("", include("characters.urls")),
    path("", include("training.urls")),
    path("", include("generation.urls")),
    path("", include("jobs.urls")),
]
urlpatterns = [
    path("", front_page, name="front"),
    # Browsers ask for it by themselves, on pages that name none too.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}isengard/favicon.svg")),
    *service,
    path("api/", include(api)),
    path("admin/", include("isengard.cockpit.dashboard")),
    path("admin/", admin_urls()),
]
handler500 = "isengard.pages.failure"
