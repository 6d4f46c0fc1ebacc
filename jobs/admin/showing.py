"""How values look on the admin pages. Markup only: colours and sizes are in `jobs/admin.css`, so that no page needs
inline styles or scripts."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote as percent_encoded

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from jobs import identity, readable
from jobs.log_reading import Entry, as_line
from jobs.models import Artifact, Job

STYLES = {"all": ["jobs/admin.css"]}
OUTPUT_URL = "/api/outputs/"
LIST_SIDE_PIXELS = 96


class ReadOnly:
    """For rows that only a machine makes, changes and removes."""

    class Media:
        css = STYLES

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def badge(state: str) -> SafeString:
    return format_html('<span class="badge badge-{0}">{0}</span>', state)


def progress_bar(job: Job) -> SafeString:
    steps = f"{job.current_step}/{job.total_steps}" if job.total_steps else ""
    return format_html(
        '<progress max="100" value="{0}" title="{0} %"></progress> <span class="steps">{0} % <small>{1}</small></span>',
        job.progress,
        steps,
    )


def link(row: Model, text: str = "") -> SafeString:
    """Return a link to the own page of a row of this app."""
    address = reverse(f"admin:jobs_{type(row).__name__.lower()}_change", args=[quote(row.pk)])
    return format_html('<a href="{}">{}</a>', address, text or str(row))


def list_link(model: type[Model], text: str, **filters: str) -> SafeString:
    """Return a link to the list of a model of this app, with these filters set."""
    address = reverse(f"admin:jobs_{model.__name__.lower()}_changelist")
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(filters), text)


def links(rows: Iterable[Model]) -> SafeString | str:
    return format_html_join(", ", "{}", ((link(row),) for row in rows)) or readable.NOTHING


def character_link(character_id: str, text: str) -> SafeString:
    address = reverse("admin:characters_character_change", args=[quote(character_id)])
    return format_html('<a href="{}">{}</a>', address, text)


def character(job: Any) -> SafeString | str:
    """Return a link to the job's character; `job` has its `character_name` from the query, None if it was deleted."""
    if job.character_id is None:
        return readable.NOTHING
    if job.character_name:
        return character_link(job.character_id, job.character_name)
    return f"{job.order.get('character_name') or job.character_id} (deleted)"


def pretty_json(value: object) -> SafeString:
    return format_html('<pre class="json">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))


def age(moment: Any) -> SafeString | str:
    """Return how long ago, with the moment itself as the tooltip."""
    if moment is None:
        return readable.NOTHING
    return format_html('<span title="{}">{}</span>', moment.isoformat(timespec="seconds"), readable.age(moment))


def thumbnail(artifact: Artifact) -> SafeString | str:
    """Return the picture, small and leading to the whole one, where there is an address that serves it."""
    if artifact.type != "output":
        return readable.NOTHING
    return format_html(
        '<a href="{0}"><img class="thumbnail" src="{0}?size={1}" alt="{2}" loading="lazy"></a>',
        *(OUTPUT_URL + percent_encoded(artifact.name, safe=""), LIST_SIDE_PIXELS, artifact.name),
    )


def log_lines(entries: Iterable[Entry]) -> SafeString | str:
    rows = ((entry["level"], as_line(entry)) for entry in entries)
    lines = format_html_join("\n", '<span class="log-{}">{}</span>', rows)
    return format_html('<div class="log"><pre>{}</pre></div>', lines) if lines else "No lines."


def holder(job: Job) -> SafeString | str:
    """Say in words who must be gone before the slot is free again."""
    if job.holder is None:
        return "Nobody: no worker and no engine is busy with it."
    worker = job.holder.get("worker", {})
    engine = job.holder.get("engine")
    sentences = [f"Worker process {worker.get('pid', '?')} on {worker.get('host', '?')} {_whereabouts(worker)}."]
    sentences.append(_engine_in_words(engine) if engine else "Its engine has not told yet what it holds.")
    if job.is_terminal:
        sentences.append("The job has ended; its engine is being stopped.")
    return format_html_join("", "<div>{}</div>", ((sentence,) for sentence in sentences))


def _whereabouts(worker: dict[str, Any]) -> str:
    if identity.is_certainly_gone(worker):
        return "has it, but that process is gone: the reaper gives the job back"
    return "has it and is alive" if identity.is_visible_from_here(worker) else "has it (cannot be seen from here)"


def _engine_in_words(engine: dict[str, Any]) -> str:
    if "server" in engine:
        return f"ComfyUI at {engine['server']} has its prompts {', '.join(engine.get('prompts', [])) or '(none)'}."
    if "pid" in engine:
        return f"The trainer is process {engine['pid']} on the same host."
    return f"The engine holds {json.dumps(engine)}."
