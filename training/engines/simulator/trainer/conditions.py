"""What the environment asks of this run. The environment is read here and, for `${VAR}`, in `job_file`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .faults import Faults
from .pace import Pace

STEP_SECONDS_VARIABLE = "ISENGARD_SIMULATOR_STEP_SECONDS"
FAULT_VARIABLE = "ISENGARD_SIMULATOR_FAULT"
DEFAULT_STEP_SECONDS = "0.02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    pace: Pace
    faults: Faults
    job_id: str | None
    seed: str | None
    are_bars_disabled: bool


def read_conditions(environment: Mapping[str, str] = os.environ) -> Conditions:
    """Raise ValueError, with the variable's name in it, where a switch cannot be understood."""
    job_id = environment.get("AITK_JOB_ID")
    return Conditions(
        pace=_read_pace(environment.get(STEP_SECONDS_VARIABLE) or DEFAULT_STEP_SECONDS),
        faults=_read_faults(environment.get(FAULT_VARIABLE, "")),
        job_id=job_id.strip() if job_id is not None else None,
        seed=environment.get("SEED"),
        are_bars_disabled=bool(environment.get("TQDM_DISABLE")),
    )


def _read_pace(text: str) -> Pace:
    try:
        return Pace(float(text))
    except ValueError as exc:
        raise ValueError(f"{STEP_SECONDS_VARIABLE}: {exc}") from exc


def _read_faults(text: str) -> Faults:
    try:
        return Faults.parse(text)
    except ValueError as exc:
        raise ValueError(f"{FAULT_VARIABLE}: {exc}") from exc
