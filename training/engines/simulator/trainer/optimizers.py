"""Which optimizers the real program knows, what they refuse, and the rate at which they really learn."""

from dataclasses import dataclass
from typing import Any

from .config import TrainConfig

PRODIGY_FIRST_ESTIMATE = 1e-6
PRODIGY_LAST_ESTIMATE = 1e-4
PRODIGY_SETTLING_STEPS = 100
# Below this Prodigy announces a rate of 1.0 and yet keeps the one it was given.
PRODIGY_LOW_RATE = 0.1

_CLASSES = {
    "adamw": "AdamW",
    "adam": "Adam",
    "adamw8bit": "AdamW8bit",
    "adam8bit": "Adam8bit",
    "adam8": "Adam8bit",
    "adamw8": "Adam8bit",
    "ademamix8bit": "AdEMAMix8bit",
    "lion8bit": "Lion8bit",
    "adagrad": "Adagrad",
    "adafactor": "Adafactor",
    "automagic": "Automagic",
    "automagic2": "Automagic2",
    "automagic3": "Automagic3",
    "automagicexperiment": "AutomagicEXPERIMENT",
}
_COUNTING = ("adafactor", "automagic")
_COMMON_PARAMS = {"betas", "eps", "weight_decay", "amsgrad"}
_OWN_PARAMS = {
    "Prodigy": {"beta3", "decouple", "use_bias_correction", "safeguard_warmup", "d0", "d_coef", "growth_rate"},
    "Adafactor": {"clip_threshold", "decay_rate", "beta1", "scale_parameter", "relative_step", "warmup_init"},
    "Adagrad": {"lr_decay", "initial_accumulator_value"},
    "AdEMAMix8bit": {"alpha", "t_alpha", "t_beta3"},
    "Automagic": {"min_lr", "max_lr", "lr_bump", "clip_threshold", "beta2"},
}


@dataclass(frozen=True, slots=True)
class Optimizer:
    class_name: str
    learning_rate: float

    def effective_rate(self, scheduled_rate: float, step: int) -> float:
        """Return the rate the console shows: Prodigy multiplies by its own estimate, which grows where it may learn."""
        if self.class_name != "Prodigy":
            return scheduled_rate
        if self.learning_rate < PRODIGY_LOW_RATE:
            return scheduled_rate * PRODIGY_FIRST_ESTIMATE
        settled = min(1.0, step / PRODIGY_SETTLING_STEPS)
        growth = float((PRODIGY_LAST_ESTIMATE / PRODIGY_FIRST_ESTIMATE) ** settled)
        return scheduled_rate * PRODIGY_FIRST_ESTIMATE * growth


def make_optimizer(train: TrainConfig, parameter_count: int) -> Optimizer:
    """Raise what the real program raises for an optimizer it does not know or parameters that it does not take."""
    name = train.optimizer.lower()
    class_name = _find_class(name, train)
    if name.startswith(_COUNTING):
        print(f"Total training paramiters: {parameter_count}")
    if not train.lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {train.lr}")
    _refuse_unknown(class_name, train.optimizer_params)
    return Optimizer(class_name, train.lr)


def _find_class(name: str, train: TrainConfig) -> str:
    if name.startswith("dadaptation"):
        raise ModuleNotFoundError("No module named 'dadaptation'")
    if name == "lion":
        raise ImportError("Please install lion_pytorch to use Lion optimizer -> pip install lion-pytorch")
    if name.startswith("prodigy"):
        return _announce_prodigy(train)
    if name not in _CLASSES:
        raise ValueError(f"Unknown optimizer type {name}")
    return _CLASSES[name]


def _announce_prodigy(train: TrainConfig) -> str:
    print("Using Prodigy optimizer")
    print(f"Using lr {train.lr if train.lr >= PRODIGY_LOW_RATE else 1.0}")
    if train.optimizer_params.get("decouple"):
        print("Using decoupled weight decay")
    return "Prodigy"


def _refuse_unknown(class_name: str, params: dict[str, Any]) -> None:
    family = next((name for name in _OWN_PARAMS if class_name.startswith(name)), "")
    known = _COMMON_PARAMS | _OWN_PARAMS.get(family, set())
    for name in params:
        if name not in known:
            raise TypeError(f"{class_name}.__init__() got an unexpected keyword argument '{name}'")
