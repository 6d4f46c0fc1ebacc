"""Files of random weights in the layout of the real models, at the sizes of `tiny_comfyui_sizes`.

Each model is asked of ComfyUI's own classes for the names and shapes of its tensors; the numbers are random, the same
at every run. Imported once ComfyUI's folder is on the import path and `adapt` was called.
"""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.ldm.flux.redux
import comfy.ldm.lumina.model
import comfy.ldm.modules.diffusionmodules.model as autoencoder
import comfy.ldm.modules.diffusionmodules.openaimodel
import comfy.ldm.qwen_image.model
import comfy.ldm.wan.vae
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models
import comfy.text_encoders.qwen_image
import comfy.text_encoders.sd3_clip
import comfy.text_encoders.z_image
import tiny_comfyui_flux as flux_family
import tiny_comfyui_sizes as sizes
import torch
from safetensors.torch import save_file

Weights = dict[str, torch.Tensor]

UPSCALER_FILTERS = 16
UPSCALER_GROWTH = 32


def write_models(folder: Path) -> None:
    """Write every model below `folder`, in ComfyUI's sub-folders."""
    for name, make in _MODELS.items():
        _write(folder / name, {key: _random(key, like, name) for key, like in sorted(make().items())})


def _write(file: Path, weights: Weights) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".pth":
        torch.save({"params_ema": weights}, file)
    else:
        save_file(weights, file, metadata={"format": "pt"})


def _random(key: str, like: torch.Tensor, model: str) -> torch.Tensor:
    """Numbers that neither die out nor explode on their way through the layers."""
    if not like.is_floating_point() or not like.ndim:
        return torch.zeros(like.shape, dtype=like.dtype)
    seed = zlib.crc32(f"{model} {key}".encode())
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    if like.ndim > 1:
        noise *= (like.numel() / like.shape[0]) ** -0.5
    elif key.endswith("bias"):
        noise *= 0.02
    else:
        noise = 1 + 0.1 * noise
    return noise.to(like.dtype)


def _redux() -> Weights:
    return comfy.ldm.flux.redux.ReduxImageEncoder(dtype=torch.bfloat16).state_dict()


def _siglip() -> Weights:
    config = Path(comfy.clip_vision.__file__).with_name("clip_vision_siglip_384.json")
    # ComfyUI looks for a late layer by name to know SigLIP.
    late = "vision_model.encoder.layers.22.layer_norm1.weight"
    weights: Weights = _half(comfy.clip_vision.ClipVisionModel(config).model)
    return {**weights, late: torch.empty(1)}


def _text_encoder(kind: str, make: Callable[..., Any], **options: Any) -> Weights:
    return {**_half(make(device="meta", **options).transformer), f"{sizes.KIND_KEY}{kind}": torch.empty(1)}


def _half(module: torch.nn.Module) -> Weights:
    weights = module.state_dict()
    return {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in weights.items()}


def _clip_l() -> Weights:
    return _text_encoder("CLIP_L", comfy.sd1_clip.SDClipModel)


def _without_eyes() -> Weights:
    weights = _text_encoder("QWEN25_7B", comfy.text_encoders.qwen_image.Qwen25_7BVLIModel)
    return {key: tensor for key, tensor in weights.items() if not key.startswith("visual.")}


def _autoencoder(latent_channels: int) -> Weights:
    config = {"z_channels": latent_channels, "double_z": True, "resolution": 256, "in_channels": 3, "out_ch": 3}
    config |= {"ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
    return _prefixed({"encoder": autoencoder.Encoder(**config), "decoder": autoencoder.Decoder(**config)})


def _wan_autoencoder() -> Weights:
    config = {"dim": sizes.AUTOENCODER_CHANNELS, "z_dim": 16, "temperal_downsample": [False, True, True]}
    return _half(comfy.ldm.wan.vae.WanVAE(**config))


def _z_image() -> Weights:
    config = {"patch_size": 2, "in_channels": 16, "dim": sizes.Z_IMAGE_WIDTH, "cap_feat_dim": sizes.TEXT_WIDTH}
    config |= {"n_layers": 2, "qk_norm": True, **sizes.z_image_config(sizes.Z_IMAGE_WIDTH), **sizes.PARTS}
    return comfy.ldm.lumina.model.NextDiT(**config).state_dict()


def _qwen_image() -> Weights:
    config = {"num_layers": 2, **sizes.qwen_image_config(sizes.QWEN_IMAGE_WIDTH), **sizes.PARTS}
    return comfy.ldm.qwen_image.model.QwenImageTransformer2DModel(**config).state_dict()


def _sdxl() -> Weights:
    """One file with all: the model, both text encoders and the autoencoder."""
    unet = {f"model.diffusion_model.{key}": tensor for key, tensor in _sdxl_unet().items()}
    vae = {f"first_stage_model.{key}": tensor for key, tensor in _quantised_autoencoder(4).items()}
    encoders = {f"clip_l.{key}": tensor for key, tensor in _half(comfy.sd1_clip.SDClipModel()).items()}
    encoders |= {f"clip_g.{key}": tensor for key, tensor in _half(comfy.sdxl_clip.SDXLClipG()).items()}
    model = comfy.supported_models.SDXL({"num_head_channels": 64})
    return {**unet, **vae, **model.process_clip_state_dict_for_saving(encoders)}


def _sdxl_unet() -> Weights:
    config = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": sizes.SDXL_CHANNELS}
    config |= {"num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "num_head_channels": 64, "legacy": False}
    config |= {"use_spatial_transformer": True, "use_linear_in_transformer": True, "num_classes": "sequential"}
    config |= {"transformer_depth": list(sizes.SDXL_DEPTHS), "transformer_depth_middle": 1}
    config |= {"transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1], "context_dim": 2 * sizes.TEXT_WIDTH}
    config |= {"adm_in_channels": sizes.SDXL_VECTOR, **sizes.PARTS}
    return comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel(**config).state_dict()


def _quantised_autoencoder(latent_channels: int) -> Weights:
    convolutions = {"quant_conv": 2 * latent_channels, "post_quant_conv": latent_channels}
    parts = {name: torch.nn.Conv2d(wide, wide, 1) for name, wide in convolutions.items()}
    return {**_autoencoder(latent_channels), **_prefixed(parts)}


def _flux2_autoencoder() -> Weights:
    latent_channels = 32
    # Squares of two by two latents are one to FLUX.2.
    normed = {"bn": torch.nn.BatchNorm2d(4 * latent_channels, affine=False)}
    return {**_quantised_autoencoder(latent_channels), **_prefixed(normed)}


def _prefixed(parts: Mapping[str, torch.nn.Module]) -> Weights:
    return {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in _half(part).items()}


def _upscaler() -> Weights:
    """RealESRGAN_x4plus with one block and few filters."""
    wide = UPSCALER_FILTERS
    names = {"conv_first": (wide, 3), "conv_last": (3, wide)}
    names |= dict.fromkeys(("conv_body", "conv_up1", "conv_up2", "conv_hr"), (wide, wide))
    for block in (1, 2, 3):
        grown = [wide + step * UPSCALER_GROWTH for step in range(5)]
        names |= {f"body.0.rdb{block}.conv{step + 1}": (UPSCALER_GROWTH, grown[step]) for step in range(4)}
        names[f"body.0.rdb{block}.conv5"] = (wide, grown[4])
    kernels = {f"{name}.weight": torch.empty(*shape, 3, 3) for name, shape in names.items()}
    return {**kernels, **{f"{name}.bias": torch.empty(shape[0]) for name, shape in names.items()}}


_MODELS: dict[str, Callable[[], Weights]] = {
    "diffusion_models/flux1-dev.safetensors": lambda: flux_family.flux(has_guidance=True),
    "diffusion_models/flux1-schnell.safetensors": lambda: flux_family.flux(has_guidance=False),
    "diffusion_models/flux-2-klein-4b.safetensors": flux_family.klein,
    "diffusion_models/z_image_bf16.safetensors": _z_image,
    "diffusion_models/z_image_turbo_bf16.safetensors": _z_image,
    "diffusion_models/qwen_image_fp8_e4m3fn.safetensors": _qwen_image,
    "checkpoints/sd_xl_base_1.0.safetensors": _sdxl,
    "text_encoders/t5xxl_fp16.safetensors": lambda: _text_encoder("T5_XXL", comfy.text_encoders.sd3_clip.T5XXLModel),
    "text_encoders/clip_l.safetensors": _clip_l,
    "text_encoders/qwen_3_4b.safetensors": lambda: _text_encoder("QWEN3_4B", comfy.text_encoders.z_image.Qwen3_4BModel),
    "text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors": _without_eyes,
    "vae/ae.safetensors": lambda: _autoencoder(16),
    "vae/flux2-vae.safetensors": _flux2_autoencoder,
    "vae/qwen_image_vae.safetensors": _wan_autoencoder,
    "loras/tiny_one.safetensors": flux_family.flux_lora,
    "loras/tiny_two.safetensors": flux_family.flux_lora,
    "upscale_models/RealESRGAN_x4plus.pth": _upscaler,
    "clip_vision/sigclip_vision_patch14_384.safetensors": _siglip,
    "style_models/flux1-redux-dev.safetensors": _redux,
    "controlnet/flux-canny-controlnet-v3.safetensors": flux_family.control,
    "controlnet/FLUX.1-dev-ControlNet-Union.safetensors": flux_family.union_control,
}
