"""What a node may use while it runs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from generation.engines.simulator.faults import Faults
from generation.engines.simulator.folders import Folders
from generation.engines.simulator.interruption import Interruption
from generation.engines.simulator.release import Release
from generation.engines.simulator.values import Model

MODEL_LOAD_STEPS = 3


@dataclass(slots=True)
class Residency:
    """Which model, with which LoRAs, is loaded now; None after it was unloaded."""

    model: Model | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """`report_step` is given the step that was done, the number of all steps, and what paints a preview."""

    folders: Folders
    faults: Faults
    residency: Residency
    interruption: Interruption
    step_seconds: float
    release: Release
    graph: Mapping[str, Any]
    extra_pnginfo: Mapping[str, Any] | None
    report_step: Callable[[int, int, Callable[[], bytes]], None]

    def load(self, model: Model) -> None:
        """Take as long as a few steps if another model, or the same with other LoRAs, was loaded before."""
        if self.residency.model != model:
            time.sleep(MODEL_LOAD_STEPS * self.step_seconds)
            self.residency.model = model
