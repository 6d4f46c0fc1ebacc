"""An ai-toolkit for the doctor to look at: its files, and an interpreter that answers what a test tells it to."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

from isengard.doctor.trainer import TESTED_COMMIT, TESTED_VERSION


class Trainer:
    """In order at first: tested release, all packages, one large GPU, nothing downloaded yet."""

    def __init__(self, settings: Any, folder: Path) -> None:
        self._folder = folder
        self.hub_cache = folder.parent / "huggingface" / "hub"
        (folder / ".git").mkdir(parents=True)
        (folder / ".git" / "HEAD").write_text(TESTED_COMMIT)
        (folder / "run.py").touch()
        self.set_version(TESTED_VERSION)
        self.answer()
        settings.AI_TOOLKIT_DIR = folder
        settings.AI_TOOLKIT_PYTHON = str(folder / "python")
        settings.MODELS_DIR = folder.parent / "models"
        settings.TRAINER_ENVIRONMENT = {"PATH": os.defpath, "HF_HOME": str(self.hub_cache.parent)}

    def set_version(self, version: str) -> None:
        (self._folder / "version.py").write_text(f'VERSION = "{version}"\n')

    def answer(self, **changes: object) -> None:
        usual = {
            "python": "3.12.1",
            "versions": {"torch": "2.13.0"},
            "broken": {},
            "trainers": ["sd_trainer", "diffusion_trainer"],
            "gpus": [["NVIDIA H100", 85_000_000_000]],
        }
        self.say(json.dumps(usual | changes))

    def say(self, text: str) -> None:
        python = self._folder / "python"
        python.write_text(f"#!/bin/sh\necho 'a warning of some library'\nprintf '%s\\n' {shlex.quote(text)}\n")
        python.chmod(0o755)
