"""The addresses of the admin: its own, and before them those of our pages, which have names in its namespace too."""

from typing import Any

from django.contrib import admin

from isengard.cockpit.gallery import views as gallery
from isengard.cockpit.start import generation_page, training


def admin_urls() -> tuple[list[Any], str, str]:
    """Return what `path` takes. Ours come first: the last of the admin's own takes any address."""
    own, app_name, namespace = admin.site.urls
    return [*gallery.urlpatterns, *generation_page.urlpatterns, *training.urlpatterns, *own], app_name, namespace
