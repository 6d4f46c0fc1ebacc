"""Loading a model that is not there: what the real program prints, waits for and stumbles over while it does."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from .conditions import Conditions
from .config import ModelConfig, NetworkConfig, TrainConfig
from .console import shown
from .errors import GatedRepoError, OutOfMemoryError
from .faults import hang
from .weights import MODULES, find_dtype, parameter_count

GATED_MODEL = "isengard/gated-model"
MISSING_MODEL = "isengard/missing-model"
ASSISTANT_RANK = 4
PHASE_STEPS = 2.0

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_SAMPLERS = {
    *("ddim", "ddpm", "pndm", "lms", "k_lms", "euler", "k_euler", "euler_a", "k_euler_a", "heun", "lcm", "custom_lcm"),
    *("dpmsolver", "dpmsolver++", "k_dpmsolver", "k_dpmsolver++", "dpmsingle", "dpm_2", "k_dpm_2", "dpm_2_a"),
    *("k_dpm_2_a", "flowmatch"),
}
_NOT_CONNECTED = (
    "We couldn't connect to 'https://huggingface.co' to load this model, couldn't find it in the cached files and it"
    " looks like {path} is not the path to a directory containing a config.json file.\nCheckout your internet"
    " connection or see how to run the library in offline mode at"
    " 'https://huggingface.co/docs/diffusers/installation#offline-mode'."
)
_GATED = (
    "403 Client Error.\n\nCannot access gated repo for url https://huggingface.co/{path}/resolve/main/config.json.\n"
    "Access to model {path} is restricted and you are not in the authorized list."
    " Visit https://huggingface.co/{path} to ask for access."
)
_MISSING = (
    "{path} is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'\n"
    "If this is a private repository, make sure to pass a token having permission to this repo with `token` or log in"
    " with `hf auth login`."
)
_NOT_A_FLUX = (
    "Pipeline <class 'diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion.StableDiffusionPipeline'> expected"
    " ['feature_extractor', 'image_encoder', 'safety_checker', 'scheduler', 'text_encoder', 'tokenizer', 'unet',"
    " 'vae'], but only {'tokenizer', 'vae', 'text_encoder', 'safety_checker', 'scheduler'} were passed."
)
_OPTIONS = "bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None"
_WRONG_DTYPE = (
    "to() received an invalid combination of arguments - got (torch.device, dtype=str), but expected one of:\n"
    f" * (torch.device device = None, torch.dtype dtype = None, {_OPTIONS})\n"
    f" * (torch.dtype dtype, {_OPTIONS})\n"
    f" * (Tensor tensor, {_OPTIONS})\n"
)


def refuse_unknown_sampler(name: object) -> None:
    if name not in _SAMPLERS:
        raise ValueError(f"Sampler {name} not supported")


def load_model(
    model: ModelConfig, train: TrainConfig, *, conditions: Conditions, announce: Callable[[str], None]
) -> None:
    """Go through the phases of loading. Raise what the real program raises for a model that it cannot have."""
    if not model.is_flux:
        list(shown(range(4), "Loading pipeline components...", total=4))
        raise ValueError(_NOT_A_FLUX)
    announce("Loading Flux model")
    announce("Loading transformer")
    _fetch(str(model.name_or_path))
    if find_dtype(train.dtype) is None:
        raise TypeError(_WRONG_DTYPE)
    _strike(conditions)
    conditions.pace.wait(PHASE_STEPS)
    if model.assistant_lora_path:
        print("Fusing in LoRA")
        _refuse_unusable_assistant(str(model.assistant_lora_path))
    if model.is_quantized:
        announce("Quantizing transformer")
    _load_encoders(model, conditions, announce)


def create_network(network: NetworkConfig) -> None:
    """Raise TypeError for a rank that is not a whole number."""
    _announce_network(network.rank)
    if network.type == "lokr":
        print(f"apply LoRA to Conv2d with kernel size (3,3). dim (rank): {network.rank}, alpha: {network.rank}")
    print("create LoRA for Text Encoder: 0 modules.")
    if not isinstance(network.rank, int):
        kind = type(network.rank).__name__
        complaint = f"must be tuple of ints, but found element of type {kind} at pos 0"
        raise TypeError(f"empty(): argument 'size' (position 1) {complaint}")
    if parameter_count(network.rank) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {network.rank}: [{network.rank}, 32]")
    _announce_modules()


def load_assistant(path: str) -> None:
    print("Loading assistant lora")
    print(f"Loading assistant adapter from {path}")
    _announce_network(ASSISTANT_RANK)
    print("create LoRA for Text Encoder: 0 modules.")
    _announce_modules()
    print("Missing keys: []")


def _load_encoders(model: ModelConfig, conditions: Conditions, announce: Callable[[str], None]) -> None:
    announce("Loading VAE")
    conditions.pace.wait(PHASE_STEPS)
    announce("Loading T5")
    list(shown(range(21), "Loading weights", total=21))
    conditions.pace.wait(PHASE_STEPS)
    if model.is_text_encoder_quantized:
        announce("Quantizing T5")
    announce("Loading CLIP")
    list(shown(range(36), "Loading weights", total=36))
    conditions.pace.wait(PHASE_STEPS)
    announce("Making pipe")
    announce("Preparing Model")
    conditions.pace.wait(PHASE_STEPS)


def _fetch(path: str) -> None:
    """Take every hub id for downloaded and every existing folder for a model."""
    if path == GATED_MODEL:
        raise GatedRepoError(_GATED.format(path=path))
    if path == MISSING_MODEL:
        raise OSError(_MISSING.format(path=path))
    if not (Path(path).is_dir() or _HUB_ID.fullmatch(path)):
        raise OSError(_NOT_CONNECTED.format(path=path))


def _strike(conditions: Conditions) -> None:
    if "oom-load" in conditions.faults:
        raise OutOfMemoryError
    if "hang-load" in conditions.faults:
        hang()


def _refuse_unusable_assistant(path: str) -> None:
    if Path(path).is_dir():
        # The file is mapped into memory, which a directory does not allow.
        raise OSError("No such device (os error 19)")
    if not (Path(path).is_file() or _HUB_ID.fullmatch(path)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _announce_network(rank: object) -> None:
    # FLUX files are in the PEFT format, which has no place for an alpha of its own.
    print(f"create LoRA network. base dim (rank): {rank}, alpha: {rank}")
    print("neuron dropout: p=None, rank dropout: p=None, module dropout: p=None")


def _announce_modules() -> None:
    print(f"create LoRA for U-Net: {len(MODULES)} modules.")
    print("enable LoRA for U-Net")
