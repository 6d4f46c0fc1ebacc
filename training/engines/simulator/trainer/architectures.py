"""The families of models: what loading one prints, and which modules a LoRA for it has, all of them tiny."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Modules = Mapping[str, tuple[int, int]]
"""Name of a module → how many features go in and come out."""
Condition = Literal["is_quantized", "is_text_encoder_quantized", "has_low_memory"]

_WIDTH, _MLP = 32, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A line that is printed while the model loads; `weights` is how many its bar counts, 0 for no bar."""

    text: str
    weights: int = 0
    only_if: Condition | None = None
    loads_transformer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """`has_kohya_names`: the LoRA's tensors are called as in kohya's trainer, with an alpha of their own."""

    version: str
    modules: Modules
    phases: tuple[Phase, ...] = ()
    has_kohya_names: bool = False


def find_architecture(given: Mapping[str, Any]) -> Architecture | None:
    """Return None for what the real program takes for a Stable Diffusion of old."""
    arch = given.get("arch")
    if not arch:
        return FLUX if given.get("is_flux", False) else None
    return _BY_NAME.get(arch.split(":")[0])


def _below(prefix: str, modules: Modules) -> dict[str, tuple[int, int]]:
    return {f"{prefix}.{name}": sides for name, sides in modules.items()}


def _square(*names: str) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(names, (_WIDTH, _WIDTH))


def _mlp(first: str, second: str) -> dict[str, tuple[int, int]]:
    return {first: (_WIDTH, _MLP), second: (_MLP, _WIDTH)}


_JOINT_ATTENTION = _square(
    *(f"attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj")),
    "attn.to_add_out",
)
_FLUX_DOUBLE = {
    **_JOINT_ATTENTION,
    "norm1.linear": (_WIDTH, 6 * _WIDTH),
    "norm1_context.linear": (_WIDTH, 6 * _WIDTH),
    **_mlp("ff.net.0.proj", "ff.net.2"),
    **_mlp("ff_context.net.0.proj", "ff_context.net.2"),
}
_FLUX_SINGLE = {
    **_square("attn.to_q", "attn.to_k", "attn.to_v"),
    "norm.linear": (_WIDTH, 3 * _WIDTH),
    "proj_mlp": (_WIDTH, _MLP),
    "proj_out": (_WIDTH + _MLP, _WIDTH),
}
FLUX = Architecture(
    version="flux.1",
    modules={
        **_below("transformer.transformer_blocks.0", _FLUX_DOUBLE),
        **_below("transformer.single_transformer_blocks.0", _FLUX_SINGLE),
        **_below("transformer.single_transformer_blocks.1", _FLUX_SINGLE),
    },
    phases=(
        Phase(text="Loading Flux model"),
        Phase(text="Loading transformer", loads_transformer=True),
        Phase(text="Quantizing transformer", only_if="is_quantized"),
        Phase(text="Loading VAE"),
        Phase(text="Loading T5", weights=21),
        Phase(text="Quantizing T5", only_if="is_text_encoder_quantized"),
        Phase(text="Loading CLIP", weights=36),
        Phase(text="Making pipe"),
        Phase(text="Preparing Model"),
    ),
)

_LAST_PHASES = (Phase(text="Making pipe"), Phase(text="Preparing Model"), Phase(text="Model Loaded"))
_TRANSFORMER_PHASES = (
    Phase(text="Loading transformer", loads_transformer=True),
    Phase(text="Quantizing Transformer", only_if="is_quantized"),
    Phase(text="Moving transformer to CPU", only_if="has_low_memory"),
)
_OWN_ENCODER_PHASES = (
    Phase(text="Text Encoder", weights=40),
    Phase(text="Quantizing Text Encoder", only_if="is_text_encoder_quantized"),
    Phase(text="Loading VAE"),
)
_KLEIN_STREAM = {"qkv": (_WIDTH, 3 * _WIDTH), "proj": (_WIDTH, _WIDTH)}
_KLEIN_MODULES = {
    **_below("diffusion_model.double_blocks.0.img_attn", _KLEIN_STREAM),
    **_below("diffusion_model.double_blocks.0.txt_attn", _KLEIN_STREAM),
    **_below("diffusion_model.double_blocks.0", _mlp("img_mlp.0", "img_mlp.2")),
    **_below("diffusion_model.double_blocks.0", _mlp("txt_mlp.0", "txt_mlp.2")),
    **_below("diffusion_model.single_blocks.0", _mlp("linear1", "linear2")),
}


def _klein(size: str) -> Architecture:
    encoder = (
        Phase(text="Loading VAE"),
        Phase(text="Loading Qwen3", weights=40),
        Phase(text="Quantizing Qwen3", only_if="is_text_encoder_quantized"),
    )
    phases = (Phase(text="Loading Flux2 model"), *_TRANSFORMER_PHASES, *encoder, *_LAST_PHASES)
    return Architecture(version=f"flux2_klein_{size}", modules=_KLEIN_MODULES, phases=phases)


Z_IMAGE = Architecture(
    version="zimage",
    modules=_below(
        "diffusion_model.layers.0",
        {
            **_square("attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0"),
            **_mlp("feed_forward.w1", "feed_forward.w2"),
            "feed_forward.w3": (_WIDTH, _MLP),
            "adaLN_modulation.0": (_WIDTH, 4 * _WIDTH),
        },
    ),
    phases=(Phase(text="Loading ZImage model"), *_TRANSFORMER_PHASES, *_OWN_ENCODER_PHASES, *_LAST_PHASES),
)
QWEN_IMAGE = Architecture(
    version="qwen_image",
    modules=_below(
        "diffusion_model.transformer_blocks.0",
        {
            **_JOINT_ATTENTION,
            **_mlp("img_mlp.net.0.proj", "img_mlp.net.2"),
            **_mlp("txt_mlp.net.0.proj", "txt_mlp.net.2"),
            "img_mod.1": (_WIDTH, 6 * _WIDTH),
            "txt_mod.1": (_WIDTH, 6 * _WIDTH),
        },
    ),
    phases=(Phase(text="Loading Qwen Image model"), *_TRANSFORMER_PHASES, *_OWN_ENCODER_PHASES, *_LAST_PHASES),
)
_CROSS_ATTENTION = _square(
    *(f"attn{number}_{name}" for number in (1, 2) for name in ("to_q", "to_k", "to_v", "to_out_0"))
)
SDXL = Architecture(
    version="sdxl_1.0",
    modules={
        f"lora_unet_{block}_attentions_0_transformer_blocks_0_{name}": sides
        for block in ("down_blocks_1", "mid_block", "up_blocks_0")
        for name, sides in {**_CROSS_ATTENTION, **_mlp("ff_net_0_proj", "ff_net_2")}.items()
    },
    has_kohya_names=True,
)
_BY_NAME = {
    "flux": FLUX,
    "flex1": FLUX,
    "flux2_klein_4b": _klein("4b"),
    "flux2_klein_9b": _klein("9b"),
    "zimage": Z_IMAGE,
    "qwen_image": QWEN_IMAGE,
    "sdxl": SDXL,
}
