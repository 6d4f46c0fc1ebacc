"""What the phases of one training share."""

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

from .architectures import Architecture
from .checkpoints import OutputFolder
from .conditions import Conditions
from .config import ProcessConfig
from .console import Bar
from .examples import Examples
from .job_row import Unwatched
from .weights import Shapes, lokr_shapes, lora_shapes


@dataclass(kw_only=True)
class TrainingRun:
    """`step` counts the optimizer steps done, but during a step it still names the one before it."""

    config: ProcessConfig
    conditions: Conditions
    output: OutputFolder
    row: Unwatched
    meta: dict[str, Any]
    step: int = 0
    start_step: int = 0
    last_save_step: int = 0
    bar: Bar | None = None
    examples: Examples = field(default_factory=lambda: Examples([], [], []))
    _learnt: str | None = None

    def announce(self, phase: str) -> None:
        print(phase)
        self.row.set_status("running", phase)

    @property
    def shapes(self) -> Shapes:
        network = self.config.network
        if network.type == "lokr":
            return lokr_shapes(self.architecture)
        return lora_shapes(self.architecture, network.rank)

    @property
    def alpha(self) -> float:
        return float(self.config.network.alpha)

    @property
    def architecture(self) -> Architecture:
        """Return that of the loaded model: one that is unknown fails before there is anything to train."""
        architecture = self.config.model.architecture
        assert architecture is not None, self.config.model  # noqa: S101
        return architecture

    @property
    def seed(self) -> str:
        """Return what the noise of the training is drawn from."""
        given = self.config.training_seed
        return str(given if given is not None else self.conditions.seed or self.output.name)

    @property
    def epoch(self) -> int:
        batches: int = math.ceil(len(self.examples.images) / self.config.train.batch_size)
        return max(0, self.step - 1) // max(1, batches)

    def weights_seed(self) -> str:
        """Return what the weights depend on: all that is learnt from, how it is learnt, and for how long."""
        if self._learnt is None:
            self._learnt = self._read_everything_learnt()
        return f"{self._learnt}:{self.step}"

    def _read_everything_learnt(self) -> str:
        train, network = self.config.train, self.config.network
        ways = (train.lr, train.optimizer, train.lr_scheduler, train.batch_size, network.type, network.rank)
        subject = (self.examples.fingerprint(), self.config.trigger_word, self.config.model.name_or_path)
        return hashlib.sha256(repr((*subject, *ways, self.seed)).encode()).hexdigest()
