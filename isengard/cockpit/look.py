"""How the admin pages are dressed, and what their sidebar leads to. Settings read it, before the apps are there."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def unfold_settings() -> dict[str, Any]:
    return {
        "SITE_TITLE": "Isengard",
        "SITE_HEADER": "Isengard",
        "SITE_SUBHEADER": "Operations",
        "SITE_URL": "/",
        "SITE_SYMBOL": "castle",
        "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("isengard/favicon.svg")}],
        "SHOW_HISTORY": True,
        "SHOW_VIEW_ON_SITE": False,
        "STYLES": [lambda _: static("jobs/admin.css"), lambda _: static("isengard/cockpit.css")],
        "DASHBOARD_CALLBACK": "isengard.cockpit.dashboard.add_overview",
        "COLORS": {"primary": _TEAL},
        "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": _navigation()},
    }


# Readable on white and on near-black alike.
_TEAL = {
    "50": "oklch(98.4% .014 180.72)",
    "100": "oklch(95.3% .051 180.801)",
    "200": "oklch(91% .096 180.426)",
    "300": "oklch(85.5% .138 181.071)",
    "400": "oklch(77.7% .152 181.912)",
    "500": "oklch(60% .118 184.704)",
    "600": "oklch(51.1% .096 186.391)",
    "700": "oklch(43.7% .078 188.216)",
    "800": "oklch(38.6% .063 188.416)",
    "900": "oklch(32% .05 189)",
    "950": "oklch(27.7% .046 192.524)",
}


def _navigation() -> list[dict[str, Any]]:
    return [
        {
            "items": [
                _item("Dashboard", "dashboard", "admin:index"),
                _rows("Jobs", "work_history", "jobs.job"),
            ]
        },
        _group(
            "Pictures",
            _item("Gallery", "gallery_thumbnail", "admin:gallery", needs="jobs.view_job"),
            _item("Generate", "brush", "admin:generate", needs="jobs.add_job"),
        ),
        _group(
            "Characters",
            _rows("Characters", "face", "characters.character"),
            _rows("LoRAs", "neurology", "characters.lora"),
        ),
        _group(
            "Machines",
            _rows("Queues", "format_list_numbered", "jobs.queuestate"),
            _rows("Slots", "dns", "jobs.slot"),
            _rows("GPUs", "memory", "jobs.gpulease"),
        ),
        _group(
            "Traces",
            _rows("Audit trail", "history", "admin.logentry"),
            _rows("Files of jobs", "attach_file", "jobs.artifact"),
            _rows("Log lines", "subject", "jobs.joblogline"),
            _rows("Photos", "photo_library", "characters.trainingimage"),
            _rows("Named requests", "key", "jobs.idempotencykey"),
            is_folded=True,
        ),
        _group(
            "People",
            _rows("Users", "person", "auth.user"),
            _rows("Groups", "group", "auth.group"),
            is_folded=True,
        ),
    ]


def _group(title: str, *items: dict[str, Any], is_folded: bool = False) -> dict[str, Any]:
    return {"title": title, "separator": True, "collapsible": is_folded, "items": list(items)}


def _rows(title: str, icon: str, model: str) -> dict[str, Any]:
    """Lead to the list of a model, `app.model`, those who may see it."""
    app, name = model.split(".")
    return _item(title, icon, f"admin:{app}_{name}_changelist", needs=f"{app}.view_{name}")


def _item(title: str, icon: str, page: str, *, needs: str = "") -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(page), "permission": _has(needs)}


def _has(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: not permission or request.user.has_perm(permission)
