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
                _item("Jobs", "work_history", "admin:jobs_job_changelist", needs="jobs.view_job"),
            ]
        },
        {
            "title": "Pictures",
            "separator": True,
            "items": [
                _item("Gallery", "gallery_thumbnail", "admin:gallery", needs="jobs.view_job"),
                _item("Generate", "brush", "admin:generate", needs="jobs.add_job"),
            ],
        },
        {
            "title": "Characters",
            "separator": True,
            "items": [
                _item("Characters", "face", "admin:characters_character_changelist", needs="characters.view_character"),
                _item("LoRAs", "neurology", "admin:characters_lora_changelist", needs="characters.view_lora"),
            ],
        },
        {
            "title": "Machines",
            "separator": True,
            "items": [
                _item(
                    "Queues", "format_list_numbered", "admin:jobs_queuestate_changelist", needs="jobs.view_queuestate"
                ),
                _item("Slots", "dns", "admin:jobs_slot_changelist", needs="jobs.view_slot"),
                _item("GPUs", "memory", "admin:jobs_gpulease_changelist", needs="jobs.view_gpulease"),
            ],
        },
        {
            "title": "Traces",
            "separator": True,
            "collapsible": True,
            "items": [
                _item("Audit trail", "history", "admin:admin_logentry_changelist", needs="admin.view_logentry"),
                _item("Files of jobs", "attach_file", "admin:jobs_artifact_changelist", needs="jobs.view_artifact"),
                _item("Log lines", "subject", "admin:jobs_joblogline_changelist", needs="jobs.view_joblogline"),
                _item(
                    "Photos",
                    "photo_library",
                    "admin:characters_trainingimage_changelist",
                    needs="characters.view_trainingimage",
                ),
                _item(
                    "Named requests", "key", "admin:jobs_idempotencykey_changelist", needs="jobs.view_idempotencykey"
                ),
            ],
        },
        {
            "title": "People",
            "separator": True,
            "collapsible": True,
            "items": [
                _item("Users", "person", "admin:auth_user_changelist", needs="auth.view_user"),
                _item("Groups", "group", "admin:auth_group_changelist", needs="auth.view_group"),
            ],
        },
    ]


def _item(title: str, icon: str, page: str, *, needs: str = "") -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(page), "permission": _has(needs)}


def _has(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: not permission or request.user.has_perm(permission)
