"""The model files that are there from the start: the first name of each that workflows ask for."""

import json
import struct

from generation.engines.simulator.folders import Folders, write_atomically
from generation.engines.simulator.inventory import Inventory

PLACEHOLDERS = {
    "checkpoints": ("sd_xl_base_1.0.safetensors",),
    "clip_vision": ("CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "sigclip_vision_patch14_384.safetensors"),
    "controlnet": (
        "FLUX.1-dev-ControlNet-Union-Pro-2.0.safetensors",
        "Qwen-Image-InstantX-ControlNet-Union.safetensors",
        "controlnet-union-sdxl-1.0-promax.safetensors",
        "flux-canny-controlnet-v3.safetensors",
        "flux-depth-controlnet-v3.safetensors",
    ),
    "diffusion_models": (
        "flux-2-klein-4b.safetensors",
        "flux-2-klein-9b.safetensors",
        "flux1-dev.safetensors",
        "flux1-schnell.safetensors",
        "qwen_image_fp8_e4m3fn.safetensors",
        "z_image_bf16.safetensors",
        "z_image_turbo_bf16.safetensors",
    ),
    "ipadapter": ("ip-adapter-plus_sdxl_vit-h.safetensors",),
    "style_models": ("flux1-redux-dev.safetensors",),
    "text_encoders": (
        "clip_l.safetensors",
        "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "qwen_3_4b.safetensors",
        "qwen_3_8b.safetensors",
        "t5xxl_fp16.safetensors",
    ),
    "ultralytics": ("bbox/face_yolov8m.pt",),
    "upscale_models": ("RealESRGAN_x4plus.pth",),
    "vae": ("ae.safetensors", "flux2-vae.safetensors", "qwen_image_vae.safetensors"),
}


def create_placeholders(folders: Folders, inventory: Inventory) -> None:
    """Write the model files that are missing, as real safetensors files of one weight each, and nothing to load."""
    for folder, names in PLACEHOLDERS.items():
        present = folders.model_files(folder)
        for name in names:
            if name not in present and inventory.has_file(folder, name):
                write_atomically(folders.base / "models" / folder / name, _placeholder(name))


def _placeholder(name: str) -> bytes:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt", "stand_in_for": name},
            "weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)
