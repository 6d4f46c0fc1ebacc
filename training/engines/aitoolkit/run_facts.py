"""What explains a run's result later: its data, its program, and what that program was really told."""

import json
from dataclasses import asdict
from typing import Any

from jobs.events import Facts
from training.engines.aitoolkit.manifest import read_manifest
from training.engines.aitoolkit.release import read_release
from training.engines.aitoolkit.workspace import Workspace
from training.engines.order import Installation


def facts_of_run(installation: Installation, workspace: Workspace, *, start_step: int) -> Facts:
    """Read it off what lies ready for the trainer, right before it starts."""
    manifest = read_manifest(workspace.dataset)
    process = _process(workspace)
    facts = {
        "dataset": manifest.as_facts() if manifest else {},
        "trainer": asdict(read_release(installation.directory)),
        "seed": process["training_seed"],
        "learning_rate": process["train"]["lr"],
        "start_step": start_step,
    }
    return Facts(facts=facts)


def _process(workspace: Workspace) -> dict[str, Any]:
    # The file, not the parameters: the adapter gives the trainer another rate or seed where it must.
    job = json.loads(workspace.job_file.read_text(encoding="utf-8"))
    process: dict[str, Any] = job["config"]["process"][0]
    return process
