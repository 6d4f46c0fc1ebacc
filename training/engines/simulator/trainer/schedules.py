"""The learning rate schedules that work in the real program, and the errors of those that do not."""

import math
from collections.abc import Callable
from typing import Any

from .config import TrainConfig

DEFAULT_WARMUP_STEPS = 1000

# From the number of optimizer steps done to the learning rate.
Schedule = Callable[[int], float]

_CLASSES = {
    "cosine": "CosineAnnealingLR",
    "cosine_with_restarts": "CosineAnnealingWarmRestarts",
    "step": "StepLR",
    "constant": "ConstantLR",
    "linear": "LinearLR",
}
_PARAMS = {
    "cosine": {"eta_min", "T_max", "last_epoch"},
    "cosine_with_restarts": {"eta_min", "T_0", "T_mult", "last_epoch"},
    "step": {"step_size", "gamma", "last_epoch"},
    "constant": {"factor", "last_epoch"},
    "linear": {"start_factor", "end_factor", "last_epoch"},
    "constant_with_warmup": {"num_warmup_steps", "last_epoch"},
}


def make_schedule(train: TrainConfig) -> Schedule:
    """Raise TypeError for a parameter and ValueError for a schedule that the real program fails on."""
    name, params = train.lr_scheduler, train.lr_scheduler_params
    if name == "constant_with_warmup":
        return _warmup(train.lr, params)
    if name not in _CLASSES:
        _give_up(name)
    _refuse_unknown(name, params)
    if name == "constant":
        return _constant(train.lr, train.steps, params)
    if name == "linear":
        return _linear(train.lr, train.steps, params)
    return _cosine(train.lr, train.steps, params)


def _give_up(name: Any) -> None:
    print(f"Trying to use diffusers scheduler {name}")
    print(f"{name!r} is not a valid SchedulerType" if name is not None else "None is not a valid SchedulerType")
    raise ValueError("Scheduler must be cosine, cosine_with_restarts, step, linear or constant")


def _refuse_unknown(name: str, params: dict[str, Any]) -> None:
    # The trainer passes total_iters to every schedule, and a step schedule has no such parameter.
    unknown = "total_iters" if name == "step" else next((key for key in params if key not in _PARAMS[name]), None)
    if unknown is not None:
        raise TypeError(f"{_CLASSES[name]}.__init__() got an unexpected keyword argument '{unknown}'")


def _constant(rate: float, steps: int, params: dict[str, Any]) -> Schedule:
    factor = params.get("factor", 1.0)
    return lambda done: rate * (factor if done < steps else 1.0)


def _linear(rate: float, steps: int, params: dict[str, Any]) -> Schedule:
    start, end = params.get("start_factor", 1 / 3), params.get("end_factor", 1.0)
    return lambda done: rate * (start + (end - start) * min(done, steps) / steps)


def _cosine(rate: float, steps: int, params: dict[str, Any]) -> Schedule:
    lowest = params.get("eta_min", 0.0)
    return lambda done: lowest + (rate - lowest) * (1 + math.cos(math.pi * min(done, steps) / steps)) / 2


def _warmup(rate: float, params: dict[str, Any]) -> Schedule:
    if "num_warmup_steps" not in params:
        print(f"WARNING: num_warmup_steps not in kwargs. Using default value of {DEFAULT_WARMUP_STEPS}")
    warmup_steps = params.get("num_warmup_steps", DEFAULT_WARMUP_STEPS)
    return lambda done: rate * min(1.0, done / max(1, warmup_steps))
