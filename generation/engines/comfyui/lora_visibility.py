"""Whether the server sees the LoRA files of an order, and under which names."""

import time
from dataclasses import replace

from generation.engines.comfyui.client import Client
from generation.engines.comfyui.errors import ServerAway
from generation.engines.order import LoraFile
from jobs.errors import EngineAtFault


class LoraVisibility:
    """A new file may take some seconds to appear to a server that reads it through a network."""

    def __init__(self, loras: tuple[LoraFile, ...], *, host: str, grace_seconds: float) -> None:
        self._loras = loras
        self._host = host
        self._grace_seconds = grace_seconds
        self._missing_since: float | None = None

    def find(self, client: Client) -> tuple[LoraFile, ...] | None:
        """Return the LoRAs as the server names them, None where one does not show yet.

        Raises EngineAtFault when it has not shown for too long, and ServerAway.
        """
        if not self._loras:
            return ()
        try:
            listed = client.models("loras")
        except ServerAway as exc:
            if exc.status is None:
                raise
            # ComfyUI fails here after a whole LoRA folder was deleted under it; it says so when it gets the graph.
            return self._loras
        # A server on Windows has the same names with the other slash.
        names = {name.replace("\\", "/"): name for name in listed}
        missing = [lora.name for lora in self._loras if lora.name not in names]
        if missing:
            self._bear(missing)
            return None
        return tuple(replace(lora, name=names[lora.name]) for lora in self._loras)

    def _bear(self, missing: list[str]) -> None:
        now = time.monotonic()
        self._missing_since = self._missing_since or now
        if now - self._missing_since >= self._grace_seconds:
            raise EngineAtFault(
                f"The LoRA file {missing[0]} is not visible to the ComfyUI server {self._host}. It must share "
                "Isengard's folder loras: `manage.py comfyui_paths` writes the file that tells it where that is.",
                is_broken=False,
                cause="lora_not_visible",
            )
