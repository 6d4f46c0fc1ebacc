"""What the server is given, as a file: the graphs, by the names of their images."""

import json
from collections.abc import Mapping
from pathlib import Path

from generation.engines.comfyui.failures import explain_os_error
from generation.engines.comfyui.nodes import Graph
from jobs.events import ENGINE_CONFIG_NAME, Artifact


def write_config(graphs: Mapping[str, Graph], folder: Path) -> Artifact:
    """Write the graphs into `folder`. Raises EngineFailed when the disk refuses."""
    path = folder / ENGINE_CONFIG_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(graphs, indent=2), encoding="utf-8")
    except OSError as exc:
        raise explain_os_error(exc, what="The graph") from exc
    return Artifact(type="config", name=path.name, path=path)
