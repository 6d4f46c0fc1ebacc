"""Nodes that read model files."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from generation.engines.simulator.errors import NodeFailed
from generation.engines.simulator.lora_keys import family_of
from generation.engines.simulator.model_files import lora_digest, read_header
from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.node_schema import Node, choice, decimal, file_in, link
from generation.engines.simulator.values import AppliedLora, Clip, LoadedFile, Model, Result

PIXEL_SPACE = "pixel_space"
SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
CLIP_TYPES = (
    *("stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos", "lumina2"),
    *("wan", "hidream", "chroma", "ace", "omnigen2", "qwen_image", "hunyuan_image", "flux2", "ovis"),
)
DUAL_CLIP_TYPES = (
    *("sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image", "hunyuan_video_15", "kandinsky5"),
    *("kandinsky5_image", "newbie"),
)


def _open(context: NodeContext, folder: str, name: str) -> Path:
    """Return the file's path. Raises if it is gone, or no whole safetensors file."""
    path = context.folders.model_path(folder, name)
    if name.endswith(SAFETENSORS_SUFFIXES):
        read_header(path)
    return path


def _load_diffusion_model(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    _open(context, "diffusion_models", inputs["unet_name"])
    return Result((Model(inputs["unet_name"]),))


def _load_checkpoint(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    name = inputs["ckpt_name"]
    _open(context, "checkpoints", name)
    return Result((Model(name), Clip((name,)), LoadedFile("checkpoints", name)))


def _load_clips(*names: str) -> Callable[[NodeContext, Mapping[str, Any]], Result]:
    def load(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
        files = tuple(inputs[name] for name in names)
        for file in files:
            _open(context, "text_encoders", file)
        return Result((Clip(files),))

    return load


def _load_vae(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    if inputs["vae_name"] != PIXEL_SPACE:
        _open(context, "vae", inputs["vae_name"])
    return Result((LoadedFile("vae", inputs["vae_name"]),))


def load_file(folder: str, input_name: str) -> Callable[[NodeContext, Mapping[str, Any]], Result]:
    def load(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
        _open(context, folder, inputs[input_name])
        return Result((LoadedFile(folder, inputs[input_name]),))

    return load


def _with_lora(context: NodeContext, inputs: Mapping[str, Any]) -> Model:
    """Return the model with the LoRA; unchanged at strength 0, which ComfyUI does not even open the file for."""
    model: Model = inputs["model"]
    name, strength = inputs["lora_name"], inputs["strength_model"]
    if strength == 0 and not inputs.get("strength_clip"):
        return model
    path = context.folders.model_path("loras", name)
    if not name.endswith(SAFETENSORS_SUFFIXES):
        raise NodeFailed(f"The stand-in reads only safetensors files, not '{name}'.", reported_type="RuntimeError")
    digest = lora_digest(path, family_of(model.file_name))
    if digest is None or strength == 0:
        return model
    return replace(model, loras=tuple(sorted((*model.loras, AppliedLora(name, digest, strength)))))


def _apply_lora_to_model(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((_with_lora(context, inputs),))


def _apply_lora(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((_with_lora(context, inputs), inputs["clip"]))


_STRENGTH = decimal(1.0, -100.0, 100.0, step=0.01)
_DEVICE = choice("default", "cpu", advanced=True)

NODES = (
    Node(
        name="UNETLoader",
        display_name="Load Diffusion Model",
        category="advanced/loaders",
        run=_load_diffusion_model,
        required={
            "unet_name": file_in("diffusion_models"),
            "weight_dtype": choice("default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"),
        },
        outputs=("MODEL",),
    ),
    Node(
        name="CheckpointLoaderSimple",
        display_name="Load Checkpoint",
        category="loaders",
        run=_load_checkpoint,
        required={"ckpt_name": file_in("checkpoints")},
        outputs=("MODEL", "CLIP", "VAE"),
    ),
    Node(
        name="DualCLIPLoader",
        category="advanced/loaders",
        run=_load_clips("clip_name1", "clip_name2"),
        required={
            "clip_name1": file_in("text_encoders"),
            "clip_name2": file_in("text_encoders"),
            "type": choice(*DUAL_CLIP_TYPES),
        },
        optional={"device": _DEVICE},
        outputs=("CLIP",),
    ),
    Node(
        name="CLIPLoader",
        display_name="Load CLIP",
        category="advanced/loaders",
        run=_load_clips("clip_name"),
        required={"clip_name": file_in("text_encoders"), "type": choice(*CLIP_TYPES)},
        optional={"device": _DEVICE},
        outputs=("CLIP",),
    ),
    Node(
        name="VAELoader",
        display_name="Load VAE",
        category="loaders",
        run=_load_vae,
        required={"vae_name": file_in("vae", PIXEL_SPACE)},
        outputs=("VAE",),
    ),
    Node(
        name="LoraLoaderModelOnly",
        category="loaders",
        run=_apply_lora_to_model,
        required={"model": link("MODEL"), "lora_name": file_in("loras"), "strength_model": _STRENGTH},
        outputs=("MODEL",),
    ),
    Node(
        name="LoraLoader",
        display_name="Load LoRA",
        category="loaders",
        run=_apply_lora,
        required={
            "model": link("MODEL"),
            "clip": link("CLIP"),
            "lora_name": file_in("loras"),
            "strength_model": _STRENGTH,
            "strength_clip": _STRENGTH,
        },
        outputs=("MODEL", "CLIP"),
    ),
    Node(
        name="UpscaleModelLoader",
        display_name="Load Upscale Model",
        category="loaders",
        module="comfy_extras.nodes_upscale_model",
        run=load_file("upscale_models", "model_name"),
        required={"model_name": file_in("upscale_models")},
        outputs=("UPSCALE_MODEL",),
        is_new_style=True,
    ),
    Node(
        name="CLIPVisionLoader",
        display_name="Load CLIP Vision",
        category="loaders",
        run=load_file("clip_vision", "clip_name"),
        required={"clip_name": file_in("clip_vision")},
        outputs=("CLIP_VISION",),
    ),
    Node(
        name="StyleModelLoader",
        display_name="Load Style Model",
        category="loaders",
        run=load_file("style_models", "style_model_name"),
        required={"style_model_name": file_in("style_models")},
        outputs=("STYLE_MODEL",),
    ),
    Node(
        name="ControlNetLoader",
        display_name="Load ControlNet Model",
        category="loaders",
        run=load_file("controlnet", "control_net_name"),
        required={"control_net_name": file_in("controlnet")},
        outputs=("CONTROL_NET",),
    ),
)
