"""The interpreter of ai-toolkit: what it can import, and which GPUs its torch sees."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from pydantic import BaseModel, ValidationError

from isengard.doctor.finding import Finding, failed, ok, warning
from isengard.doctor.trainer_probe import PROGRAM
from training.offers import TRAINABLE

AREA = "ai-toolkit"
# Importing torch and all the extensions from a cold disk takes a while.
IMPORT_SECONDS = 120
GIGABYTE = 1_000_000_000
# A card of "24 GB" has a little less, and what the models need is rounded up.
MEMORY_TOLERANCE = 0.93
TRAINER_TYPE = "diffusion_trainer"
PACKAGES = ("torch", "torchvision", "diffusers", "transformers", "safetensors", "accelerate", "peft", "PIL")
STAND_IN_PACKAGES = ("PIL", "safetensors")
INSTALL = "Install ai-toolkit's requirements.txt in the environment that AI_TOOLKIT_PYTHON names."
CHECK_DRIVER = "Install a torch that was built for this driver's CUDA, and check the driver with nvidia-smi."


class Probe(BaseModel):
    """What the interpreter said. `gpus`: name and bytes of memory of each, as torch sees them."""

    python: str
    versions: dict[str, str]
    broken: dict[str, str]
    trainers: list[str]
    gpus: list[tuple[str, int]]


def check_interpreter(*, is_stand_in: bool) -> Iterator[Finding]:
    wanted = STAND_IN_PACKAGES if is_stand_in else (*PACKAGES, PROGRAM)
    try:
        probe = _ask(wanted)
    except (OSError, subprocess.SubprocessError, ValidationError, ValueError) as exc:
        advice = "Set AI_TOOLKIT_PYTHON to the interpreter of the environment in which ai-toolkit is installed."
        yield failed(AREA, f"{settings.AI_TOOLKIT_PYTHON} does not run: {reason(exc)}", advice)
        return
    yield from _packages(probe)
    if not is_stand_in and not probe.broken:
        yield from _trainer(probe)
        yield from _gpus(probe)


def run(command: list[str], *, seconds: float) -> str:
    """Return what the program prints, run as the trainer would be. Raises OSError or SubprocessError."""
    ended = subprocess.run(
        command,
        cwd=settings.AI_TOOLKIT_DIR if settings.AI_TOOLKIT_DIR.is_dir() else None,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=True,
    )
    return ended.stdout.strip()


def environment() -> dict[str, str]:
    return {"PATH": os.defpath, **settings.TRAINER_ENVIRONMENT}


def reason(exc: Exception) -> str:
    if isinstance(exc, subprocess.CalledProcessError):
        return _last_line(exc.stderr or exc.stdout or "") or f"it ended with status {exc.returncode}"
    if isinstance(exc, OSError | subprocess.SubprocessError):
        return str(exc)
    return "it does not answer as a Python does"


def _ask(wanted: tuple[str, ...]) -> Probe:
    # Handed over as text, so that the folder of the program is where its imports begin, as in a training.
    program = Path(__file__).with_name("trainer_probe.py").read_text(encoding="utf-8")
    said = run([settings.AI_TOOLKIT_PYTHON, "-c", program, *wanted], seconds=IMPORT_SECONDS)
    answer: Any = json.loads(_last_line(said))
    return Probe.model_validate(answer)


def _packages(probe: Probe) -> Iterator[Finding]:
    if probe.broken:
        names, error = ", ".join(probe.broken), next(iter(probe.broken.values()))
        yield failed(AREA, f"{settings.AI_TOOLKIT_PYTHON} cannot import {names} ({error})", INSTALL)
    versions = ", ".join(f"{name} {version}".strip() for name, version in probe.versions.items())
    yield ok(AREA, f"Python {probe.python} imports {versions}")


def _trainer(probe: Probe) -> Iterator[Finding]:
    if TRAINER_TYPE in probe.trainers:
        yield ok(AREA, f"it starts, with all its {len(probe.trainers)} extensions")
    else:
        advice = "Install a version that docs/engines.md names as tested."
        yield failed(AREA, f"it knows no {TRAINER_TYPE}, which Isengard's job files name", advice)


def _gpus(probe: Probe) -> Iterator[Finding]:
    if not probe.gpus and settings.IS_PRODUCTION:
        yield failed("gpu", "torch sees no GPU", CHECK_DRIVER)
    elif not probe.gpus:
        yield warning("gpu", "torch sees no GPU: only tiny models can be trained", CHECK_DRIVER)
    for name, memory_bytes in probe.gpus:
        yield from _memory(name, memory_bytes)


def _memory(name: str, memory_bytes: int) -> Iterator[Finding]:
    size = f"{name} with {memory_bytes / GIGABYTE:.0f} GB"
    large = [
        f"{model} ({training.memory_gb} GB)"
        for model, training in TRAINABLE.items()
        if training.memory_gb * GIGABYTE * MEMORY_TOLERANCE > memory_bytes
    ]
    if large:
        yield warning("gpu", f"torch sees {size}, too small for {', '.join(large)}", "Train the others on this card.")
    else:
        yield ok("gpu", f"torch sees {size}, enough for every base model")


def _last_line(text: str) -> str:
    return text.strip().split("\n")[-1]
