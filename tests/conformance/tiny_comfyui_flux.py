"""The FLUX family's tensors at tiny sizes: FLUX.1, FLUX.2 klein, and what is made for FLUX.1 dev.

Imported once ComfyUI's folder is on the import path and `adapt` was called.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import comfy.ldm.flux.controlnet
import comfy.ldm.flux.model
import comfy.ops
import comfy.utils
import tiny_comfyui_sizes as sizes
import torch

Weights = dict[str, torch.Tensor]

LORA_RANK = 4
UNION_MODES = 7
CONTROL_DEPTH = 1


def flux(*, has_guidance: bool) -> Weights:
    model = comfy.ldm.flux.model.Flux(depth=1, depth_single_blocks=1, **_flux_config(has_guidance))
    return _as_published(model.state_dict())


def _as_published(weights: Weights) -> Weights:
    """With the name that the norms have in the published files; newer versions of ComfyUI changed theirs."""
    return {key.replace("_norm.weight", "_norm.scale"): tensor for key, tensor in weights.items()}


def _flux_config(has_guidance: bool) -> dict[str, Any]:
    return {
        "image_model": "flux",
        "in_channels": 16,
        "out_channels": 16,
        "vec_in_dim": sizes.TEXT_WIDTH,
        "context_in_dim": sizes.TEXT_WIDTH,
        "hidden_size": sizes.FLUX_WIDTH,
        "mlp_ratio": 4.0,
        "num_heads": sizes.FLUX_HEADS,
        "axes_dim": [16, 56, 56],
        "theta": 10000,
        "patch_size": 2,
        "qkv_bias": True,
        "guidance_embed": has_guidance,
        "txt_ids_dims": [],
        **sizes.PARTS,
    }


def klein() -> Weights:
    """FLUX.2's architecture: modulation shared by all blocks, no biases, a patch is one latent."""
    config = {
        **_flux_config(has_guidance=False),
        "image_model": "flux2",
        "in_channels": 128,
        "out_channels": 128,
        "vec_in_dim": None,
        "context_in_dim": sizes.KLEIN_TEXT_WIDTH,
        "mlp_ratio": 3.0,
        "axes_dim": [32, 32, 32, 32],
        "theta": 2000,
        "patch_size": 1,
        "qkv_bias": False,
        "ops_bias": False,
        "txt_ids_dims": [3],
        "global_modulation": True,
        "mlp_silu_act": True,
    }
    return _as_published(comfy.ldm.flux.model.Flux(depth=1, depth_single_blocks=1, **config).state_dict())


def flux_lora() -> Weights:
    """As ai-toolkit saves one: the modules' names in diffusers, A and B, no alpha."""
    width = sizes.FLUX_WIDTH
    both = [f"transformer_blocks.0.attn.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj")]
    alone = [f"single_transformer_blocks.0.attn.{part}" for part in ("to_q", "to_k", "to_v")]
    shapes = dict.fromkeys(both + alone, (width, width))
    shapes["transformer_blocks.0.ff.net.0.proj"] = (4 * width, width)
    shapes["single_transformer_blocks.0.proj_out"] = (width, 5 * width)
    return dict(_lora_pairs(shapes))


def _lora_pairs(shapes: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, torch.Tensor]]:
    for module, (wide_out, wide_in) in shapes.items():
        yield f"transformer.{module}.lora_A.weight", torch.empty(LORA_RANK, wide_in, dtype=torch.float16)
        yield f"transformer.{module}.lora_B.weight", torch.empty(wide_out, LORA_RANK, dtype=torch.float16)


def control() -> Weights:
    """XLabs' layout, which looks at the picture itself."""
    config = _flux_config(has_guidance=True)
    network = comfy.ldm.flux.controlnet.ControlNetFlux(depth=CONTROL_DEPTH, depth_single_blocks=0, **config)
    return _as_published(network.state_dict())


def union_control() -> Weights:
    """InstantX' layout, in diffusers' names, which looks at the picture's latents and is told what they show."""
    network = comfy.ldm.flux.controlnet.ControlNetFlux(
        depth=CONTROL_DEPTH,
        depth_single_blocks=0,
        latent_input=True,
        num_union_modes=UNION_MODES,
        control_latent_channels=16,
        **_flux_config(has_guidance=True),
    )
    return _in_diffusers_names(network.state_dict())


def _in_diffusers_names(weights: Weights) -> Weights:
    names = comfy.utils.flux_to_diffusers({"depth": CONTROL_DEPTH, "hidden_size": sizes.FLUX_WIDTH})
    # Newer versions know more than one name for some; the first is the older.
    first = {place: name for name, place in reversed(names.items())}
    renamed = {name: _part(weights, place) for place, name in first.items() if _key(place) in weights}
    kept = {key: tensor for key, tensor in weights.items() if key.startswith("controlnet_")}
    return {**renamed, **kept}


def _key(place: str | tuple[Any, ...]) -> str:
    return place if isinstance(place, str) else place[0]


def _part(weights: Weights, place: str | tuple[Any, ...]) -> torch.Tensor:
    if isinstance(place, str) or place[1] is None:
        return weights[_key(place)]
    return weights[place[0]].narrow(*place[1])
