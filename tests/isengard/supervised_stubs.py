"""Supervises the processes that a JSON file describes: `python -m tests.isengard.supervised_stubs FILE SECONDS`.

Each entry has `name` and `shell` (what sh runs), and may have the fields of a ProcessSpec, or `ready_file`. The seconds
are how long it waits for what it stops: few where something is deaf, else longer than a machine stands still.
"""

import functools
import json
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

from isengard.supervisor.console import Console
from isengard.supervisor.leftovers import RUN_ID_VARIABLE
from isengard.supervisor.spec import ProcessSpec, StopStage
from isengard.supervisor.supervisor import PATIENCE_SECONDS, Supervisor


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
    # Whoever runs the tests may be deaf to it, as under nohup, and so is what they start.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    run_id = uuid.uuid4().hex
    entries = json.loads(Path(sys.argv[1]).read_text())
    patience_seconds = float(sys.argv[2])
    PATIENCE_SECONDS.update(dict.fromkeys(PATIENCE_SECONDS, patience_seconds))
    specs = [guard(run_id), *(spec_of(entry, run_id) for entry in entries)]
    console = Console(sys.stdout.fileno(), [spec.name for spec in specs])
    return Supervisor(specs, run_id=run_id, console=console, grace_seconds=patience_seconds, banner=["all is up"]).run()


if __name__ == "__main__":
    sys.exit(main())
