"""Supervises the processes that a JSON file describes: `python -m tests.isengard.supervised_stubs FILE`.

Each entry has `name` and `shell` (what sh runs), and may have the fields of a ProcessSpec, or `ready_file`.
"""

import functools
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from isengard.supervisor.console import Console
from isengard.supervisor.leftovers import RUN_ID_VARIABLE
from isengard.supervisor.spec import ProcessSpec, StopStage
from isengard.supervisor.supervisor import Supervisor

GRACE_SECONDS = 1.0


def spec_of(entry: dict[str, Any], run_id: str) -> ProcessSpec:
    ready_file = entry.get("ready_file")
    return ProcessSpec(
        name=entry["name"],
        argv=("sh", "-c", entry["shell"]),
        environment={RUN_ID_VARIABLE: run_id, **entry.get("environment", {})},
        after=tuple(entry.get("after", ())),
        is_ready=functools.partial(Path.exists, Path(ready_file)) if ready_file else None,
        is_one_shot=entry.get("is_one_shot", False),
        stop_stage=StopStage[entry.get("stop_stage", "APPLICATION")],
        banner_prefix=entry.get("banner_prefix"),
    )


def guard(run_id: str) -> ProcessSpec:
    return ProcessSpec(
        name="guard",
        argv=(sys.executable, "-m", "isengard.supervisor.guard", run_id),
        environment={RUN_ID_VARIABLE: run_id},
        stop_stage=StopStage.GUARD,
        outlives_supervisor=True,
    )


def main() -> int:
    run_id = uuid.uuid4().hex
    entries = json.loads(Path(sys.argv[1]).read_text())
    specs = [guard(run_id), *(spec_of(entry, run_id) for entry in entries)]
    console = Console(sys.stdout.fileno(), [spec.name for spec in specs])
    return Supervisor(specs, run_id=run_id, console=console, grace_seconds=GRACE_SECONDS, banner=["all is up"]).run()


if __name__ == "__main__":
    sys.exit(main())
