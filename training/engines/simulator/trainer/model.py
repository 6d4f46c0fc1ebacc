"""Loading a model that is not there: what the real program prints, waits for and stumbles over while it does."""

from collections.abc import Callable

from .architectures import Architecture, Phase
from .conditions import Conditions
from .config import ModelConfig, NetworkConfig, TrainConfig
from .console import shown
from .errors import OutOfMemoryError
from .faults import hang
from .hub import fetch_adapter, fetch_model
from .weights import find_dtype, parameter_count

ASSISTANT_RANK = 4
PHASE_STEPS = 1.0

_SAMPLERS = {
    *("ddim", "ddpm", "pndm", "lms", "k_lms", "euler", "k_euler", "euler_a", "k_euler_a", "heun", "lcm", "custom_lcm"),
    *("dpmsolver", "dpmsolver++", "k_dpmsolver", "k_dpmsolver++", "dpmsingle", "dpm_2", "k_dpm_2", "dpm_2_a"),
    *("k_dpm_2_a", "flowmatch"),
}
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
) -> Architecture:
    """Go through the phases of loading. Raise what the real program raises for a model that it cannot have."""
    architecture = model.architecture
    if architecture is None:
        list(shown(range(4), "Loading pipeline components...", total=4))
        raise ValueError(_NOT_A_FLUX)
    if not architecture.phases:
        _load_transformer(model, train, conditions)
        list(shown(range(7), "Loading pipeline components...", total=7))
    for phase in architecture.phases:
        if phase.only_if is None or getattr(model, phase.only_if):
            announce(phase.text)
            _go_through(phase, model, train, conditions)
    return architecture


def create_network(network: NetworkConfig, architecture: Architecture) -> None:
    """Raise TypeError for a rank that is not a whole number."""
    _announce_network(network.rank, network.alpha if architecture.has_kohya_names else network.rank)
    if network.type == "lokr":
        print(f"apply LoRA to Conv2d with kernel size (3,3). dim (rank): {network.rank}, alpha: {network.rank}")
    print("create LoRA for Text Encoder: 0 modules.")
    if not isinstance(network.rank, int):
        kind = type(network.rank).__name__
        complaint = f"must be tuple of ints, but found element of type {kind} at pos 0"
        raise TypeError(f"empty(): argument 'size' (position 1) {complaint}")
    if parameter_count(architecture, network.rank) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {network.rank}: [{network.rank}, 32]")
    _announce_modules(architecture)


def load_assistant(path: str, architecture: Architecture) -> None:
    print("Loading assistant lora")
    print(f"Loading assistant adapter from {path}")
    _announce_network(ASSISTANT_RANK, ASSISTANT_RANK)
    print("create LoRA for Text Encoder: 0 modules.")
    _announce_modules(architecture)
    print("Missing keys: []")


def _go_through(phase: Phase, model: ModelConfig, train: TrainConfig, conditions: Conditions) -> None:
    if phase.loads_transformer:
        _load_transformer(model, train, conditions)
    if phase.weights:
        list(shown(range(phase.weights), "Loading weights", total=phase.weights))
    conditions.pace.wait(PHASE_STEPS)


def _load_transformer(model: ModelConfig, train: TrainConfig, conditions: Conditions) -> None:
    fetch_model(str(model.name_or_path), conditions)
    if find_dtype(train.dtype) is None:
        raise TypeError(_WRONG_DTYPE)
    _strike(conditions)
    conditions.pace.wait(PHASE_STEPS)
    if model.assistant_lora_path:
        print("Fusing in LoRA")
        fetch_adapter(str(model.assistant_lora_path), conditions, has_low_memory=model.has_low_memory)


def _strike(conditions: Conditions) -> None:
    if "oom-load" in conditions.faults:
        raise OutOfMemoryError
    if "hang-load" in conditions.faults:
        hang()


def _announce_network(rank: object, alpha: object) -> None:
    # In files of the PEFT format there is no place for an alpha of its own: it is the rank.
    print(f"create LoRA network. base dim (rank): {rank}, alpha: {alpha}")
    print("neuron dropout: p=None, rank dropout: p=None, module dropout: p=None")


def _announce_modules(architecture: Architecture) -> None:
    print(f"create LoRA for U-Net: {len(architecture.modules)} modules.")
    print("enable LoRA for U-Net")
