"""The sizes of the tiny models, and what a running ComfyUI must be told to accept them.

ComfyUI recognises most models by their full size. `adapt` wraps the few places where it looks at sizes, in this process
only: no file of ComfyUI changes, and the server, its queue, its nodes and its samplers run as they are. Imported once
ComfyUI's folder is on the import path.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import comfy.clip_model
import comfy.clip_vision
import comfy.ldm.flux.redux
import comfy.ldm.modules.diffusionmodules.model as autoencoder
import comfy.model_detection
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.text_encoders.qwen_vl
import torch

TEXT_WIDTH = 64
HEAD_WIDTH = 128
FLUX_HEADS = 2
FLUX_WIDTH = FLUX_HEADS * HEAD_WIDTH
# Klein sees three layers of its text encoder side by side.
KLEIN_TEXT_WIDTH = 3 * TEXT_WIDTH
# Its time steps take 256 numbers at least.
Z_IMAGE_WIDTH = 2 * HEAD_WIDTH
QWEN_IMAGE_WIDTH = HEAD_WIDTH
SDXL_CHANNELS = 32
# The pooled text, and six sizes of the picture with 256 numbers each.
SDXL_VECTOR = TEXT_WIDTH + 6 * 256
# The least that a group norm of 32 groups takes.
AUTOENCODER_CHANNELS = 32
# A text encoder's file names its kind in a tensor's key, for ComfyUI would look at sizes.
KIND_KEY = "tiny_text_encoder."

_TRANSFORMER = {"hidden_size": TEXT_WIDTH, "intermediate_size": TEXT_WIDTH}
# Some models read the last layer but one, which must not be the first.
_LLAMA = {**_TRANSFORMER, "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1}
TEXT_ENCODERS: dict[str, dict[str, int]] = {
    "CLIPTextModel": {**_TRANSFORMER, "num_hidden_layers": 3, "num_attention_heads": 2},
    "T5": {"d_model": TEXT_WIDTH, "d_ff": TEXT_WIDTH, "d_kv": 32, "num_heads": 2, "num_layers": 2},
    # FLUX.2 klein reads layers 9, 18 and 27.
    "Qwen3_4B": {**_LLAMA, "num_hidden_layers": 28},
    "Qwen25_7BVLI": _LLAMA,
}
# SigLIP keeps its width: ComfyUI recognises it by that.
VISION_ENCODER = {"num_hidden_layers": 2, "intermediate_size": TEXT_WIDTH}
SDXL_DEPTHS = [0, 0, 1, 1, 1, 1]
# A model whose tensors have shapes and no numbers.
PARTS: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16, "operations": comfy.ops.disable_weight_init}


def adapt() -> None:
    """Make this process's ComfyUI take the tiny models."""
    _narrow_text_encoders()
    _narrow_vision()
    _narrow_autoencoders()
    _follow_widths()


def _narrow_text_encoders() -> None:
    comfy.sd1_clip.SDClipModel.__init__ = _with_tiny_config(comfy.sd1_clip.SDClipModel.__init__)
    comfy.sd.detect_te_model = _kind_from_key(comfy.sd.detect_te_model)


def _with_tiny_config(construct: Callable[..., None]) -> Callable[..., None]:
    def construct_tiny(encoder: Any, *args: Any, **options: Any) -> None:
        whole = options.pop("model_class", comfy.clip_model.CLIPTextModel)
        construct(encoder, *args, model_class=partial(_tiny, whole, TEXT_ENCODERS.get(whole.__name__, {})), **options)

    return construct_tiny


def _tiny(whole: Callable[..., Any], sizes: dict[str, int], config: dict[str, Any], *args: Any) -> Any:
    return whole({**config, **sizes}, *args)


def _kind_from_key(detect: Callable[..., Any]) -> Callable[..., Any]:
    def detect_tiny(weights: dict[str, Any]) -> Any:
        kinds = [key.removeprefix(KIND_KEY) for key in weights if key.startswith(KIND_KEY)]
        return comfy.sd.TEModel[kinds[0]] if kinds else detect(weights)

    return detect_tiny


def _narrow_vision() -> None:
    encoders = comfy.clip_vision.IMAGE_ENCODERS
    encoders["siglip_vision_model"] = partial(_tiny, encoders["siglip_vision_model"], VISION_ENCODER)
    redux = comfy.ldm.flux.redux
    redux.ReduxImageEncoder = partial(redux.ReduxImageEncoder, txt_in_features=TEXT_WIDTH)
    # Qwen's text encoder has eyes, which making a picture from text never opens.
    qwen = comfy.text_encoders.qwen_vl
    qwen.Qwen2VLVisionTransformer = partial(qwen.Qwen2VLVisionTransformer, num_layers=0, intermediate_size=TEXT_WIDTH)


def _narrow_autoencoders() -> None:
    for part in ("Encoder", "Decoder"):
        setattr(autoencoder, part, _narrowed(getattr(autoencoder, part)))


def _narrowed(whole: type[torch.nn.Module]) -> type[torch.nn.Module]:
    def construct(module: Any, **options: Any) -> None:
        whole.__init__(module, **{**options, "ch": AUTOENCODER_CHANNELS})

    return type(whole.__name__, (whole,), {"__init__": construct})


def _follow_widths() -> None:
    detect = comfy.model_detection.detect_unet_config
    comfy.model_detection.detect_unet_config = _heads_from_width(detect)
    models = comfy.supported_models
    models.ZImage.unet_config["dim"] = Z_IMAGE_WIDTH
    models.SDXL.unet_config.update(
        model_channels=SDXL_CHANNELS,
        transformer_depth=SDXL_DEPTHS,
        context_dim=2 * TEXT_WIDTH,
        adm_in_channels=SDXL_VECTOR,
    )


def _heads_from_width(detect: Callable[..., Any]) -> Callable[..., Any]:
    def detect_tiny(weights: dict[str, Any], prefix: str, *args: Any, **options: Any) -> Any:
        config = detect(weights, prefix, *args, **options)
        image_model = (config or {}).get("image_model")
        if image_model in ("flux", "flux2"):
            config["num_heads"] = config["hidden_size"] // HEAD_WIDTH
        elif image_model == "lumina2":
            config.update(z_image_config(config["dim"]))
        elif image_model == "qwen_image":
            config.update(qwen_image_config(weights[f"{prefix}img_in.weight"].shape[0]))
        return config

    return detect_tiny


def z_image_config(width: int) -> dict[str, Any]:
    """What ComfyUI knows of Z-Image, for this width."""
    heads = width // HEAD_WIDTH
    return {
        "n_heads": heads,
        "n_kv_heads": heads,
        "axes_dims": [32, 48, 48],
        "axes_lens": [1536, 512, 512],
        "rope_theta": 256.0,
        "ffn_dim_multiplier": 8 / 3,
        "z_image_modulation": True,
        "time_scale": 1000.0,
        "pad_tokens_multiple": 32,
    }


def qwen_image_config(width: int) -> dict[str, Any]:
    """What ComfyUI takes for granted of Qwen-Image, for this width."""
    return {"num_attention_heads": width // HEAD_WIDTH, "joint_attention_dim": TEXT_WIDTH}
