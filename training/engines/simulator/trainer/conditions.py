"""What the environment asks of this run. The environment is read here and, for `${VAR}`, in `job_file`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .faults import Faults
from .pace import Pace

STEP_SECONDS_VARIABLE = "ISENGARD_SIMULATOR_STEP_SECONDS"
FAULT_VARIABLE = "ISENGARD_SIMULATOR_FAULT"
DEFAULT_STEP_SECONDS = "0.02"
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE_WORDS = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    pace: Pace
    faults: Faults
    job_id: str | None
    seed: str | None
    are_bars_disabled: bool
    are_timings_hidden: bool
    is_offline: bool
    hub_cache: Path

    def is_at_hand(self, hub_id: str) -> bool:
        """Return whether the hub can be asked for the model, or has been before."""
        owner, _, rest = hub_id.partition("/")
        folder = f"models--{owner}--{rest.partition('/')[0]}"
        return not self.is_offline or (self.hub_cache / folder).is_dir()


def read_conditions(environment: Mapping[str, str] = os.environ) -> Conditions:
    """Raise ValueError, with the variable's name in it, where a switch cannot be understood."""
    job_id = environment.get("AITK_JOB_ID")
    return Conditions(
        pace=_read_pace(environment.get(STEP_SECONDS_VARIABLE) or DEFAULT_STEP_SECONDS),
        faults=_read_faults(environment.get(FAULT_VARIABLE, "")),
        job_id=job_id.strip() if job_id is not None else None,
        seed=environment.get("SEED"),
        are_bars_disabled=bool(environment.get("TQDM_DISABLE")),
        are_timings_hidden=environment.get("IS_AI_TOOLKIT_UI") == "1",
        is_offline=any(environment.get(name, "").upper() in TRUE_WORDS for name in OFFLINE_VARIABLES),
        hub_cache=_find_hub_cache(environment),
    )


def _find_hub_cache(environment: Mapping[str, str]) -> Path:
    home = environment.get("HF_HOME") or str(Path(environment.get("HOME") or "/", ".cache", "huggingface"))
    return Path(environment.get("HF_HUB_CACHE") or Path(home, "hub"))


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
