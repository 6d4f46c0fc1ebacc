"""The same prompts once more, as `/api/jobs` shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generation.engines.simulator.history import History
from generation.engines.simulator.prompt_queue import PromptQueue, QueuedPrompt
from generation.engines.simulator.release import Release

STATUSES = ("pending", "in_progress", "completed", "failed")
SORT_KEYS = ("created_at", "execution_duration")

Job = dict[str, Any]


class BadListing(ValueError):
    """The query asks for something that there is not; the text is the answer's `error`."""


@dataclass(frozen=True, slots=True)
class Listing:
    statuses: tuple[str, ...]
    sort_by: str
    is_descending: bool
    offset: int
    limit: int | None

    @classmethod
    def from_query(cls, query: Mapping[str, str], release: Release) -> "Listing":
        statuses = tuple(part.strip() for part in query.get("status", "").split(",") if part.strip())
        known = tuple(dict.fromkeys((*STATUSES, release.interrupted_status)))
        bad = [status for status in statuses if status not in known]
        if bad:
            raise BadListing(f"Invalid status value(s): {', '.join(bad)}. Valid values: {', '.join(known)}")
        sort_by = query.get("sort_by", "created_at")
        if sort_by not in SORT_KEYS:
            raise BadListing("sort_by must be 'created_at' or 'execution_duration'")
        offset, limit = _number(query, "offset"), _number(query, "limit")
        return cls(statuses or known, sort_by, query.get("sort_order", "desc") != "asc", offset or 0, limit)


def _number(query: Mapping[str, str], name: str) -> int | None:
    try:
        return max(0, int(query[name])) if name in query else None
    except ValueError as exc:
        raise BadListing(f"{name} must be an integer") from exc


def list_jobs(queue: PromptQueue, history: History, listing: Listing, release: Release) -> Job:
    jobs = [job for job in _all_jobs(queue, history, release) if job["status"] in listing.statuses]
    jobs.sort(key=lambda job: _sort_value(job, listing.sort_by), reverse=listing.is_descending)
    end = len(jobs) if listing.limit is None else listing.offset + listing.limit
    pagination = {
        "offset": listing.offset,
        "limit": listing.limit,
        "total": len(jobs),
        "has_more": end < len(jobs),
    }
    return {"jobs": jobs[listing.offset : end], "pagination": pagination}


def find_job(queue: PromptQueue, history: History, prompt_id: str, *, release: Release) -> Job | None:
    """Return one job in full, or None."""
    for entry in history.one(prompt_id).values():
        number, _, graph, extra_data, _ = entry["prompt"]
        return {
            **_finished(entry, release),
            "outputs": entry["outputs"],
            "execution_status": entry["status"],
            "workflow": {"prompt": graph, "extra_data": extra_data},
            "priority": number,
        }
    return next((job for job in _live_jobs(queue, release) if job["id"] == prompt_id), None)


def _all_jobs(queue: PromptQueue, history: History, release: Release) -> list[Job]:
    return [*_live_jobs(queue, release), *(_finished(entry, release) for entry in history.page().values())]


def _live_jobs(queue: PromptQueue, release: Release) -> list[Job]:
    running, waiting = queue.snapshot()
    live = [*((prompt, "in_progress") for prompt in running), *((prompt, "pending") for prompt in waiting)]
    return [_live(prompt, status, release) for prompt, status in live]


def _live(prompt: QueuedPrompt, status: str, release: Release) -> Job:
    return {
        "id": prompt.prompt_id,
        "status": status,
        "priority": prompt.number,
        "create_time": prompt.created_ms,
        "outputs_count": 0,
        **_previewable(0, release),
        **_workflow_id(prompt.extra_data),
    }


def _finished(entry: Mapping[str, Any], release: Release) -> Job:
    number, prompt_id, _, extra_data, _ = entry["prompt"]
    messages = entry["status"]["messages"]
    job: Job = {
        "id": prompt_id,
        "status": _status(entry["status"], release),
        "priority": number,
        "create_time": extra_data["create_time"],
        "execution_start_time": messages[0][1]["timestamp"],
        "execution_end_time": messages[-1][1]["timestamp"],
    }
    if messages[-1][0] == "execution_error":
        job["execution_error"] = messages[-1][1]
    return job | _outputs_summary(entry["outputs"], release) | _workflow_id(extra_data)


def _status(told: Mapping[str, Any], release: Release) -> str:
    if told["completed"]:
        return "completed"
    return release.interrupted_status if told["messages"][-1][0] == "execution_interrupted" else "failed"


def _previewable(count: int, release: Release) -> Job:
    return {"previewable_outputs_count": count} if release.counts_previewable else {}


def _outputs_summary(outputs: Mapping[str, Any], release: Release) -> Job:
    images = [(node_id, image) for node_id, shown in outputs.items() for image in shown.get("images", ())]
    summary: Job = {"outputs_count": len(images), **_previewable(len(images), release)}
    if images:
        node_id, image = images[0]
        summary["preview_output"] = {**image, "nodeId": node_id, "mediaType": "images"}
    return summary


def _workflow_id(extra_data: Mapping[str, Any]) -> Job:
    png_info = extra_data.get("extra_pnginfo")
    workflow = png_info.get("workflow") if isinstance(png_info, dict) else None
    return {"workflow_id": workflow["id"]} if isinstance(workflow, dict) and "id" in workflow else {}


def _sort_value(job: Mapping[str, Any], sort_by: str) -> float:
    if sort_by == "created_at":
        return float(job["create_time"])
    return float(job.get("execution_end_time", 0) - job.get("execution_start_time", 0))
