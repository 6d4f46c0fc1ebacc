"""A whole Isengard whose trainer is one of the programs, behind an interpreter that a test can spoil."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.api_client import Api
from tests.conformance.model_damage import fill_with_nans
from tests.conformance.training_programs import SLOW, Program
from tests.stack import ROOT, Stack
from tests.training.holding import Hold

# The real program trains some three steps a second here; while it loads, nothing moves for half a minute.
PATIENCE_SECONDS = 600
COMMAND_SECONDS = 120


class Site:
    """`interpreter` is what AI_TOOLKIT_PYTHON names: a script that becomes the program's own Python."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.interpreter = program.folder / "python"
        self._write_interpreter()
        self.stack = Stack(program.folder / "data", **self._environment())
        self.api = Api(self.stack.url)

    def _environment(self) -> dict[str, str]:
        return {
            "AI_TOOLKIT_DIR": str(self.program.directory),
            "AI_TOOLKIT_PYTHON": str(self.interpreter),
            "ISENGARD_MODELS_DIR": str(self.program.models),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(self.program.folder / "huggingface"),
            "OMP_NUM_THREADS": "1",
            # A real step takes a second on a busy machine, and a drain waits for one and a save.
            "ISENGARD_SHUTDOWN_GRACE_SECONDS": "60",
        }

    @contextmanager
    def spoilt_interpreter(self, options: str = "", **environment: str) -> Iterator[None]:
        """Start the program with these options of Python's and with more environment, until the end of the block."""
        self._write_interpreter(options, **environment)
        try:
            yield
        finally:
            self._write_interpreter()

    @contextmanager
    def held(self, *, at: int) -> Iterator[None]:
        """Have what is started in the block come no further than a step; the real program is slow enough by itself."""
        hold = Hold(self.program.folder / "held", at=at)
        options = "" if self.program.is_real else hold.options
        with self.spoilt_interpreter(options, **SLOW):
            yield

    @contextmanager
    def diverging_model(self) -> Iterator[str]:
        """Give the name of a base model with which the loss is no number."""
        name = "flux-schnell"
        if not self.program.is_real:
            with self.spoilt_interpreter(ISENGARD_SIMULATOR_FAULT="nan@0"):
                yield name
            return
        weights = self.program.models / name / "transformer" / "diffusion_pytorch_model.safetensors"
        whole = weights.read_bytes()
        fill_with_nans(weights)
        try:
            yield name
        finally:
            weights.write_bytes(whole)

    def train(self, character: str, *, base_model: str = "flux-dev", **config: object) -> str:
        """Train what costs the real program least of all that the API allows."""
        least = {
            "steps": 200,
            "resolution": 512,
            "lora_rank": 4,
            "checkpoint_every_n_steps": 100,
            "sample_every_n_steps": 1000,
            "sample_count": 1,
        }
        body = {"character_id": character, "base_model": base_model, "config": least | config}
        return self.api.call("POST", "/api/training", expect=201, json=body).json()["id"]

    def wait_for(self, job: str) -> dict:
        return self.api.wait_for(job, seconds=PATIENCE_SECONDS)

    def trainer(self, job: str) -> psutil.Process:
        return self.family(job)[0]

    def family(self, job: str) -> list[psutil.Process]:
        """Return the trainer, first, and its data loaders, which look like it."""
        running = self.stack.processes("run.py", job)
        return sorted(running, key=lambda process: process.create_time())

    def worker(self) -> psutil.Process:
        return self.stack.processes("celery", "worker", "training@")[0]

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.stack.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def _write_interpreter(self, options: str = "", **environment: str) -> None:
        settings = " ".join(f"{name}={value}" for name, value in environment.items())
        script = f'#!/bin/sh\n{settings} exec "{self.program.python}" {options} "$@"\n'
        fresh = Path(f"{self.interpreter}.new")
        fresh.write_text(script)
        fresh.chmod(stat.S_IRWXU)
        # Replaced in one step: a worker may start it at any moment.
        fresh.replace(self.interpreter)
