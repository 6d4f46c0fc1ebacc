"""ai-toolkit and the GPU it trains on."""

import shutil
import stat
import subprocess
from collections.abc import Iterator

from django.conf import settings

from isengard.doctor.finding import Finding, failed, ok, warning
from isengard.doctor.trained_models import check_models
from isengard.doctor.trainer_python import AREA, check_interpreter, environment, reason, run
from jobs import files
from jobs.overview import queue_overviews
from training.engines.aitoolkit.release import read_release
from training.engines.aitoolkit.workspace import workspace_for

TESTED_VERSION = "0.12.26"
TESTED_COMMIT = "27a03a91f23eb1b757d5ec2e80ee3e129cfcc350"
GPU_SECONDS = 15
GPU_QUERY = ("--query-gpu=index,name,memory.used,memory.total", "--format=csv,noheader")
SHOWN_COMMIT_LENGTH = 8


def check_trainer(*, has_rows: bool) -> Iterator[Finding]:
    program = settings.AI_TOOLKIT_DIR / "run.py"
    if not program.is_file():
        yield _missing_program(is_served=has_rows and _is_served())
        return
    yield ok(AREA, f"{program} is there")
    yield _release()
    yield from check_interpreter(is_stand_in=is_stand_in())
    if not is_stand_in():
        yield from check_models()
    yield from _hazards()
    yield from _file_modes()


def is_stand_in() -> bool:
    return bool(settings.AI_TOOLKIT_DIR.resolve() == settings.STAND_IN_TRAINER)


def _missing_program(*, is_served: bool) -> Finding:
    text = f"there is no run.py in {settings.AI_TOOLKIT_DIR}"
    if is_served:
        return ok(AREA, f"{text}; another host serves training")
    return failed(AREA, text, "Set AI_TOOLKIT_DIR to the folder of ai-toolkit that holds run.py.")


def _is_served() -> bool:
    return any(overview.kind == "training" and overview.served_slots for overview in queue_overviews())


def _release() -> Finding:
    if is_stand_in():
        return ok(AREA, "the stand-in: it trains nothing")
    release = read_release(settings.AI_TOOLKIT_DIR)
    commit = release.commit[:SHOWN_COMMIT_LENGTH]
    told = f"version {release.version or 'unknown'}" + (f", commit {commit}" if commit else "")
    if release.version == TESTED_VERSION and release.commit in ("", TESTED_COMMIT):
        return ok(AREA, f"{told}: as tested")
    tested = f"{TESTED_VERSION}, commit {TESTED_COMMIT[:SHOWN_COMMIT_LENGTH]}"
    advice = f"Isengard was tested with {tested}. Run a short training first, or `git checkout {TESTED_COMMIT}`."
    return warning(AREA, f"{told}: not the one that Isengard was tested with", advice)


def _hazards() -> Iterator[Finding]:
    hazards = workspace_for("job", files.workspace("job"), attempt=1).hazards()
    if hazards:
        text = f"the path of ISENGARD_DATA_DIR contains {', '.join(hazards)}: ai-toolkit cannot resume there"
        yield failed("data", text, "Move the data directory to a path without them.")


def _file_modes() -> Iterator[Finding]:
    folder, wanted = settings.DATA_DIR / "loras", settings.FILE_UPLOAD_PERMISSIONS
    closed = [path for path in folder.rglob("*.safetensors") if stat.S_IMODE(path.stat().st_mode) & wanted != wanted]
    if closed:
        text = f"{len(closed)} LoRAs cannot be read by the group, {closed[0].name} among them: ComfyUI may not see them"
        yield warning("data", text, f"`chmod {wanted:o}` them.")


def check_gpu() -> Iterator[Finding]:
    if shutil.which("nvidia-smi", path=environment()["PATH"]) is None:
        if settings.IS_PRODUCTION:
            yield warning("gpu", "none: there is no nvidia-smi here", "Fine for a host that trains nothing.")
        else:
            yield ok("gpu", "there is no nvidia-smi here, and a stand-in needs none")
        return
    try:
        cards = run(["nvidia-smi", *GPU_QUERY], seconds=GPU_SECONDS).splitlines()
    except (OSError, subprocess.SubprocessError) as exc:
        yield failed("gpu", f"nvidia-smi fails: {reason(exc)}", "The driver may need a restart of the host.")
        return
    for card in cards:
        yield ok("gpu", f"GPU {card} (memory in use, and in all)")
