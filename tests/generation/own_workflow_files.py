"""A workflow as an operator would put it into the data directory, small enough to be read at a glance."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

GRAPH: dict[str, Any] = {
    "10": {
        "class_type": "UNETLoader",
        "inputs": {"unet_name": "flux1-schnell.safetensors", "weight_dtype": "default"},
        "_meta": {"title": "Load Diffusion Model"},
    },
    "11": {
        "class_type": "DualCLIPLoader",
        "inputs": {"clip_name1": "t5xxl_fp16.safetensors", "clip_name2": "clip_l.safetensors", "type": "flux"},
    },
    "12": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
    "20": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["11", 0], "text": "an example"}},
    "21": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["11", 0], "text": "blurry"}},
    "30": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 768, "height": 512, "batch_size": 1}},
    "40": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["10", 0],
            "positive": ["20", 0],
            "negative": ["21", 0],
            "latent_image": ["30", 0],
            "seed": 7,
            "steps": 6,
            "cfg": 1.5,
            "sampler_name": "euler",
            "scheduler": "simple",
            "denoise": 1.0,
        },
    },
    "50": {"class_type": "VAEDecode", "inputs": {"samples": ["40", 0], "vae": ["12", 0]}},
    "60": {"class_type": "SaveImage", "inputs": {"images": ["50", 0], "filename_prefix": "ComfyUI"}},
    "61": {"class_type": "PreviewImage", "inputs": {"images": ["50", 0]}},
}
MAP: dict[str, Any] = {
    "title": "Film look",
    "description": "Soft colours.",
    "base_model": "flux-schnell",
    "inputs": {
        "prompt": {"node": "20", "input": "text"},
        "negative_prompt": {"node": "21", "input": "text"},
        "seed": {"node": "40", "input": "seed"},
        "width": {"node": "30", "input": "width"},
        "height": {"node": "30", "input": "height"},
        "steps": {"node": "40", "input": "steps"},
        "guidance_scale": {"node": "40", "input": "cfg"},
    },
    "loras": {"model": {"node": "10", "output": 0}},
}


def graph() -> dict[str, Any]:
    return deepcopy(GRAPH)


def mapping() -> dict[str, Any]:
    return deepcopy(MAP)


def graph_with_loaders() -> dict[str, Any]:
    """The same with two LoRA loaders behind the model."""
    changed = graph()
    changed["70"] = _loader(["10", 0], "first.safetensors")
    changed["71"] = _loader(["70", 0], "second.safetensors")
    changed["40"]["inputs"]["model"] = ["71", 0]
    return changed


def _loader(model: list[Any], file: str) -> dict[str, Any]:
    inputs = {"model": model, "lora_name": file, "strength_model": 1.0}
    return {"class_type": "LoraLoaderModelOnly", "inputs": inputs}


def graph_from_an_image() -> dict[str, Any]:
    """The same beginning with a picture."""
    changed = graph()
    changed["80"] = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
    changed["81"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["80", 0], "vae": ["12", 0]}}
    changed["40"]["inputs"] |= {"latent_image": ["81", 0], "denoise": 0.7}
    return changed


def mapping_from_an_image() -> dict[str, Any]:
    changed = mapping()
    del changed["inputs"]["width"], changed["inputs"]["height"]
    changed["inputs"] |= {
        "init_image": {"node": "80", "input": "image"},
        "denoise": {"node": "40", "input": "denoise"},
    }
    return changed


def write_workflow(folder: Path, name: str = "film", *, graph: object = None, mapping: object = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(GRAPH if graph is None else graph))
    (folder / f"{name}.map.json").write_text(json.dumps(MAP if mapping is None else mapping))
