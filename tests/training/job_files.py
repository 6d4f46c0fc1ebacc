"""The job file as ai-toolkit gets to see it."""

import json
import re
from typing import Any

from training.engines.aitoolkit.job_file import build_job, render_job
from training.engines.aitoolkit.workspace import workspace_for
from training.engines.order import Installation, TrainingOrder


def job_of(order: TrainingOrder, *, installation: Installation | None = None) -> dict[str, Any]:
    workspace = workspace_for(order.job_id, order.workspace, attempt=order.attempt)
    job: dict[str, Any] = build_job(order, workspace, installation=installation)
    return job


def process_of(order: TrainingOrder, *, installation: Installation | None = None) -> dict[str, Any]:
    process: dict[str, Any] = job_of(order, installation=installation)["config"]["process"][0]
    return process


def parsed_by_trainer(order: TrainingOrder) -> dict[str, Any]:
    """Read the file as ai-toolkit does: variables in the text, then JSON, then [name] in the values."""
    text = render_job(job_of(order))
    assert not re.search(r"\$\{([^}]+)\}", text)
    process: dict[str, Any] = json.loads(json.dumps(json.loads(text)).replace("[name]", "REPLACED"))["config"][
        "process"
    ][0]
    return process
