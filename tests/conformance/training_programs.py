"""The programs that the conformance tests of training run: the stand-in always, the real one where it is installed.

`ISENGARD_TEST_AI_TOOLKIT_DIR` names the folder of the real one, `ISENGARD_TEST_AI_TOOLKIT_PYTHON` its interpreter.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.events import Event
from tests.training.aitoolkit_fixtures import STAND_IN, order_in
from tests.training.holding import Hold
from training.engines.aitoolkit import Limits
from training.engines.aitoolkit.workspace import Workspace
from training.engines.order import Installation, TrainingOrder
from training.params import TrainingParams

STAND_IN_NAME, REAL_NAME = "stand-in", "ai-toolkit"
DIRECTORY = os.environ.get("ISENGARD_TEST_AI_TOOLKIT_DIR", "")
PYTHON = os.environ.get("ISENGARD_TEST_AI_TOOLKIT_PYTHON", "python3")
NAMES = [STAND_IN_NAME, *([REAL_NAME] if DIRECTORY else [])]
STEP_SECONDS = "0.01"
# For a stand-in that has to be met in mid-training; the real program is slow enough.
SLOW = {"ISENGARD_SIMULATOR_STEP_SECONDS": "0.05"}
MODEL_MAKER = Path(__file__).with_name("tiny_flux.py")
MODEL_SECONDS = 300
MODEL_PARTS = ("transformer", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae", "scheduler")
ADAPTER = "FLUX.1-schnell-training-adapter.safetensors"
# Smaller than the API allows: the real program needs a quarter of a minute to start, and every step counts.
SMALL: dict[str, Any] = {
    "steps": 24,
    "resolution": 64,
    "lora_rank": 4,
    "checkpoint_every_n_steps": 8,
    "max_checkpoints": 2,
    "sample_every_n_steps": 10,
    "sample_count": 2,
}
PATIENT = Limits(
    poll_seconds=0.05, interrupt_seconds=30, terminate_seconds=5, kill_seconds=20, drain_seconds=60, stall_seconds=180
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """`folder` is its own for the whole session; `models` holds its base models, tiny ones as a rule."""

    name: str
    directory: Path
    python: str
    folder: Path
    models: Path

    @property
    def is_real(self) -> bool:
        return self.name == REAL_NAME

    @property
    def environment(self) -> dict[str, str]:
        own = {} if self.is_real else {"ISENGARD_SIMULATOR_STEP_SECONDS": STEP_SECONDS}
        return {
            "HOME": str(self.folder),
            "PATH": os.defpath,
            "HF_HUB_OFFLINE": "1",
            # A machine without a GPU may serve other tests at the same time.
            "OMP_NUM_THREADS": "1",
            **own,
        }

    def installation(self, *, hold: Hold | None = None, **environment: str) -> Installation:
        """The real program is held by nothing: it is slow enough."""
        return Installation(
            directory=self.directory,
            python=hold.python if hold and not self.is_real else self.python,
            environment=self.environment | environment,
            models=self.models,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`phases`: status and words of the row, each time they changed."""

    order: TrainingOrder
    workspace: Workspace
    events: list[Event]
    phases: list[tuple[str, str]]


def prepare_program(name: str, folder: Path) -> Program:
    models = folder / "models"
    if name == REAL_NAME:
        program = real_program(folder, models=models)
        _write_tiny_models(program)
    else:
        program = Program(name=name, directory=STAND_IN, python=sys.executable, folder=folder, models=models)
        _write_hollow_models(models)
    return program


def real_program(folder: Path, *, models: Path) -> Program:
    return Program(name=REAL_NAME, directory=Path(DIRECTORY), python=PYTHON, folder=folder, models=models)


def small_order(root: Path, *, params: dict[str, Any] | None = None, **changes: Any) -> TrainingOrder:
    """An order below what the API allows."""
    wanted = TrainingParams().model_dump() | SMALL | (params or {})
    return replace(order_in(root, **changes), params=TrainingParams.model_construct(**wanted))


def _write_tiny_models(program: Program) -> None:
    for arguments in (
        [program.models / "flux-dev"],
        [program.models / "flux-schnell", "--schnell", "--schnell-assistant", program.models / ADAPTER],
    ):
        subprocess.run(
            [program.python, MODEL_MAKER, *arguments],
            cwd=program.directory,
            env={"PATH": os.defpath, "HOME": str(program.folder)},
            check=True,
            timeout=MODEL_SECONDS,
        )


def _write_hollow_models(models: Path) -> None:
    """The stand-in loads nothing: to it, and to the adapter, a model is a folder with the right parts."""
    for name in ("flux-dev", "flux-schnell"):
        for part in MODEL_PARTS:
            (models / name / part).mkdir(parents=True, exist_ok=True)
    (models / ADAPTER).touch()


def copy_models(program: Program, destination: Path) -> Path:
    """Return a models folder of its own, for a test to damage."""
    return Path(shutil.copytree(program.models, destination / "models"))
