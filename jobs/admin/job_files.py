"""The files of a job as its page shows them: samples side by side, outputs, checkpoints, the engine's own config."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.core.files.storage import default_storage

from jobs import kinds, readable
from jobs.artifacts import CHECKPOINT, ENGINE_CONFIG
from jobs.models import Artifact, Job

logger = logging.getLogger(__name__)

SAMPLE_SIDE_PIXELS = 256
OUTPUT_SIDE_PIXELS = 512
MAX_CONFIG_BYTES = 100_000
_NUMBERED = re.compile(r"step_\d+_(\d+)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """`url` is the whole picture, `thumbnail_url` a small copy. `facts` are short: seed, size, seconds."""

    name: str
    url: str
    thumbnail_url: str
    caption: str
    facts: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """The samples of one step; a cell is None where there is none for that prompt."""

    step: int | None
    cells: list[Picture | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    name: str
    url: str
    size: str
    step: int | None


def sample_prompts(job: Job) -> list[str]:
    return kinds.get(job.kind).sample_prompts(job) if job.kind in kinds.names() else []


def rounds(job: Job, artifacts: Iterable[Artifact], prompts: Sequence[str]) -> list[Round]:
    """Return the samples by step, the newest first, each under its prompt."""
    by_step: dict[int | None, dict[int, Artifact]] = {}
    for artifact in artifacts:
        if artifact.type == "sample":
            by_step.setdefault(artifact.step, {})[_column(artifact)] = artifact
    width = max((max(row) for row in by_step.values()), default=-1) + 1
    ordered = sorted(by_step.items(), key=lambda item: -1 if item[0] is None else item[0], reverse=True)
    return [Round(step, [_cell(job, row.get(n), prompts, n) for n in range(width)]) for step, row in ordered]


def headings(found: Sequence[Round], prompts: Sequence[str]) -> list[str]:
    """Return what stands above each column of samples."""
    width = len(found[0].cells) if found else 0
    return [prompts[n] if n < len(prompts) else f"Prompt {n + 1}" for n in range(width)]


def outputs(artifacts: Iterable[Artifact]) -> list[Picture]:
    """Return the pictures of a generation in their order."""
    rows = [artifact for artifact in artifacts if artifact.type == "output"]
    return [_output(row) for row in sorted(rows, key=lambda row: (row.details.get("index", 0), row.pk))]


def checkpoints(job: Job, artifacts: Iterable[Artifact]) -> list[JobFile]:
    """Return the checkpoints that are left, the newest first."""
    rows = [artifact for artifact in artifacts if artifact.type == CHECKPOINT]
    rows.sort(key=lambda row: (row.step or 0, row.pk), reverse=True)
    return [_checkpoint(job, row) for row in rows]


def engine_config(artifacts: Iterable[Artifact]) -> tuple[str, str] | None:
    """Return the name and text of what the engine was last given, None where nothing of it is kept."""
    rows = [artifact for artifact in artifacts if artifact.type == ENGINE_CONFIG]
    if not rows:
        return None
    newest = rows[-1]
    try:
        with default_storage.open(newest.key) as file:
            return newest.name, file.read(MAX_CONFIG_BYTES).decode(errors="replace")
    except OSError as exc:
        logger.warning("An engine's configuration cannot be read: %s", exc, extra={"job": newest.job_id})
        return newest.name, f"The file {newest.key} cannot be read: {exc}"


def _column(artifact: Artifact) -> int:
    match = _NUMBERED.match(artifact.name)
    return int(match[1]) if match else 0


def _cell(job: Job, artifact: Artifact | None, prompts: Sequence[str], column: int) -> Picture | None:
    if artifact is None:
        return None
    url = f"/api/jobs/{quote(job.pk)}/artifacts/samples/{quote(artifact.name)}"
    prompt = prompts[column] if column < len(prompts) else f"Prompt {column + 1}"
    step = "" if artifact.step is None else f"Step {artifact.step}"
    thumbnail = f"{url}?size={SAMPLE_SIDE_PIXELS}"
    return Picture(name=artifact.name, url=url, thumbnail_url=thumbnail, caption=prompt, facts=step)


def _output(row: Artifact) -> Picture:
    url, details = f"/api/outputs/{quote(row.name)}", row.details
    thumbnail = f"{url}?size={OUTPUT_SIDE_PIXELS}"
    caption = str(details.get("prompt") or row.name)
    return Picture(name=row.name, url=url, thumbnail_url=thumbnail, caption=caption, facts=_facts(row, details))


def _facts(row: Artifact, details: dict[str, Any]) -> str:
    known = [
        f"seed {details['seed']}" if "seed" in details else "",
        f"{details['width']} × {details['height']}" if details.get("width") else "",
        readable.size(row.size_bytes),
        f"{details['seconds']:.1f} s" if details.get("seconds") is not None else "",
    ]
    return " · ".join(filter(None, known))


def _checkpoint(job: Job, row: Artifact) -> JobFile:
    url = f"/api/jobs/{quote(job.pk)}/checkpoints/{quote(row.name)}/download"
    return JobFile(name=row.name, url=url, size=readable.size(row.size_bytes), step=row.step)
