"""ai-toolkit and the GPU it trains on."""

import os
import shutil
import subprocess
from collections.abc import Iterator

from django.conf import settings

from isengard.doctor.finding import Finding, failed, ok, warning
from jobs.overview import queue_overviews

AREA = "ai-toolkit"
# Importing torch from a cold disk takes a while.
IMPORT_SECONDS = 120
GPU_SECONDS = 15
SEES_GPU = "sees a GPU"
TORCH_PROBE = f"""
import torch
print("torch", torch.__version__, "{SEES_GPU}" if torch.cuda.is_available() else "sees no GPU")
"""
GPU_QUERY = ("--query-gpu=index,name,memory.used,memory.total", "--format=csv,noheader")


def check_trainer(*, has_rows: bool) -> Iterator[Finding]:
    program = settings.AI_TOOLKIT_DIR / "run.py"
    if not program.is_file():
        yield _missing_program(is_served=has_rows and _is_served())
        return
    yield ok(AREA, f"{program} is there")
    yield from _interpreter()
    if settings.IS_PRODUCTION and not settings.TRAINER_ENVIRONMENT.get("HF_TOKEN"):
        advice = "Accept its licence on Hugging Face and set HF_TOKEN, unless the model is already in the cache."
        yield warning(AREA, "HF_TOKEN is not set: the gated FLUX model cannot be downloaded", advice)


def _missing_program(*, is_served: bool) -> Finding:
    text = f"there is no run.py in {settings.AI_TOOLKIT_DIR}"
    if is_served:
        return ok(AREA, f"{text}; another host serves training")
    return failed(AREA, text, "Set AI_TOOLKIT_DIR to the folder of ai-toolkit that holds run.py.")


def _is_served() -> bool:
    return any(overview.kind == "training" and overview.served_slots for overview in queue_overviews())


def _interpreter() -> Iterator[Finding]:
    probe = TORCH_PROBE if settings.IS_PRODUCTION else "print('started')"
    try:
        said = _run([settings.AI_TOOLKIT_PYTHON, "-c", probe], seconds=IMPORT_SECONDS)
    except (OSError, subprocess.SubprocessError) as exc:
        advice = "Set AI_TOOLKIT_PYTHON to the interpreter of the environment in which ai-toolkit is installed."
        yield failed(AREA, f"{settings.AI_TOOLKIT_PYTHON} does not run: {_reason(exc)}", advice)
        return
    if not settings.IS_PRODUCTION:
        yield ok(AREA, f"{settings.AI_TOOLKIT_PYTHON} runs the stand-in")
    elif said.endswith(SEES_GPU):
        yield ok(AREA, _last_line(said))
    else:
        advice = "Install a torch that was built for this driver's CUDA, and check the driver with nvidia-smi."
        yield failed(AREA, _last_line(said) or "torch answers nothing", advice)


def check_gpu() -> Iterator[Finding]:
    if shutil.which("nvidia-smi", path=_environment()["PATH"]) is None:
        if settings.IS_PRODUCTION:
            yield warning("gpu", "none: there is no nvidia-smi here", "Fine for a host that trains nothing.")
        else:
            yield ok("gpu", "none, and the stand-ins need none")
        return
    try:
        cards = _run(["nvidia-smi", *GPU_QUERY], seconds=GPU_SECONDS).splitlines()
    except (OSError, subprocess.SubprocessError) as exc:
        yield failed("gpu", f"nvidia-smi fails: {_reason(exc)}", "The driver may need a restart of the host.")
        return
    for card in cards:
        yield ok("gpu", f"GPU {card} (memory in use, and in all)")


def _run(command: list[str], *, seconds: float) -> str:
    """Return what the program prints, run as the trainer would be. Raises OSError or SubprocessError."""
    ended = subprocess.run(
        command,
        cwd=settings.AI_TOOLKIT_DIR if settings.AI_TOOLKIT_DIR.is_dir() else None,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=True,
    )
    return ended.stdout.strip()


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, **settings.TRAINER_ENVIRONMENT}


def _reason(exc: OSError | subprocess.SubprocessError) -> str:
    if isinstance(exc, subprocess.CalledProcessError):
        return _last_line(exc.stderr or exc.stdout or "") or f"it ended with status {exc.returncode}"
    return str(exc)


def _last_line(text: str) -> str:
    return text.strip().split("\n")[-1]
