"""Why a job failed, and what an operator does next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from jobs.log_reading import Entry
from jobs.models import Job, Status

SHOWN_LINES = 6
_MEMORY = (
    "The GPU's page says how full it is and which jobs are on it; nvidia-smi on its host names every other program. "
    "A smaller resolution, batch or LoRA rank needs less."
)
_DISK = "Free some disk space first (manage.py cleanup), then retry: a training goes on from its newest checkpoint."
_MACHINE = "Look at the machine (memory, kernel log, container limits) before the retry, or the same will happen again."
_ENGINE = (
    "Look at the last lines of the log below; the debug bundle has all that a report to the engine's makers needs."
)
_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "out_of_memory": _MEMORY,
        "machine_memory_full": _MACHINE,
        "killed": _MACHINE,
        "worker_died": _MACHINE,
        "disk_full": _DISK,
        "diverged": "Start it again with a lower learning rate: from its checkpoints it would only diverge again.",
        "stalled": "See whether the engine and its GPU still answer, then retry.",
        "installation": "Run manage.py doctor on the machine of the engine: it says what is missing there.",
        "model_not_found": "Put the model's files where the engine looks for them; manage.py doctor names the places.",
        "model_damaged": "The model's file is damaged: download it again, then retry.",
        "bad_image": "Open the character, replace the picture that is named above, and start a new training.",
        "lora_not_visible": "The engine does not see the LoRA folder: see how its folders are shared.",
        "deadline": "Retry it with more time, or after what ran before it is done.",
        "bug": "The server's own log has the traceback; please report it with the debug bundle.",
        "engine_error": _ENGINE,
        "no_output": _ENGINE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """`cause` is the kind of failure in words, `lines` the last that the log says of it."""

    title: str
    reason: str
    cause: str
    advice: str
    lines: list[Entry]


def trouble_of(job: Job, tail: Sequence[Entry]) -> Trouble | None:
    """Return what went wrong, None where nothing did: a cancel that somebody wished for is no trouble."""
    if job.status == Status.FAILED:
        title, reason = "It failed", job.error_message or "Nobody said why."
    elif job.status == Status.CANCELLED and job.failure_cause:
        title, reason = "It was cancelled", job.message
    else:
        return None
    cause = job.failure_cause.replace("_", " ")
    advice = _ADVICE.get(job.failure_cause, "")
    return Trouble(title=title, reason=reason, cause=cause, advice=advice, lines=_telling(tail))


def _telling(tail: Sequence[Entry]) -> list[Entry]:
    loud = [entry for entry in tail if entry["level"] in ("WARNING", "ERROR")]
    return (loud or list(tail))[-SHOWN_LINES:]
