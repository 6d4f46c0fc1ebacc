"""What ComfyUI 0.7 and three node packs declare of the nodes in our graphs, in short: inputs, then outputs.

An input is a kind of link in capitals, `text`, `file`, `switch`, a range of numbers, or the choices there are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from generation.engines.comfyui.nodes import Graph

SAMPLERS = ("euler", "res_multistep", "dpmpp_2m")
SCHEDULERS = ("simple", "karras", "normal")
SEEDS, STEPS, CFG, PART, SIDE = (0, 2**64 - 1), (1, 10000), (0.0, 100.0), (0.0, 1.0), (16, 16384)
LATENT_SIZE = {"width": SIDE, "height": SIDE, "batch_size": (1, 4096)}
SAMPLING = {"seed": SEEDS, "steps": STEPS, "cfg": CFG, "sampler_name": SAMPLERS, "scheduler": SCHEDULERS}
BOTH = {"positive": "CONDITIONING", "negative": "CONDITIONING"}
UNION_TYPES = ("auto", "openpose", "depth", "canny/lineart/anime_lineart/mlsd")
HINTS = ("center-1", "horizontal-2", "none")

Inputs = Mapping[str, Any]
DECLARATIONS: Mapping[str, tuple[Inputs, tuple[str, ...]]] = {
    "UNETLoader": ({"unet_name": "file", "weight_dtype": ("default", "fp8_e4m3fn")}, ("MODEL",)),
    "CheckpointLoaderSimple": ({"ckpt_name": "file"}, ("MODEL", "CLIP", "VAE")),
    "CLIPLoader": ({"clip_name": "file", "type": ("lumina2", "qwen_image", "flux2")}, ("CLIP",)),
    "DualCLIPLoader": ({"clip_name1": "file", "clip_name2": "file", "type": ("sdxl", "flux")}, ("CLIP",)),
    "VAELoader": ({"vae_name": "file"}, ("VAE",)),
    "LoraLoader": (
        {"model": "MODEL", "clip": "CLIP", "lora_name": "file", "strength_model": (-100, 100), "strength_clip": CFG},
        ("MODEL", "CLIP"),
    ),
    "LoraLoaderModelOnly": ({"model": "MODEL", "lora_name": "file", "strength_model": (-100, 100)}, ("MODEL",)),
    "CLIPTextEncode": ({"clip": "CLIP", "text": "text"}, ("CONDITIONING",)),
    "FluxGuidance": ({"conditioning": "CONDITIONING", "guidance": CFG}, ("CONDITIONING",)),
    "ModelSamplingFlux": (
        {"model": "MODEL", "max_shift": CFG, "base_shift": CFG, "width": SIDE, "height": SIDE},
        ("MODEL",),
    ),
    "ModelSamplingAuraFlow": ({"model": "MODEL", "shift": CFG}, ("MODEL",)),
    "EmptyLatentImage": (LATENT_SIZE, ("LATENT",)),
    "EmptySD3LatentImage": (LATENT_SIZE, ("LATENT",)),
    "EmptyFlux2LatentImage": (LATENT_SIZE, ("LATENT",)),
    "LoadImage": ({"image": "file"}, ("IMAGE", "MASK")),
    "ImageScale": (
        {
            "image": "IMAGE",
            "upscale_method": ("nearest-exact", "lanczos"),
            "width": (0, 16384),
            "height": (0, 16384),
            "crop": ("disabled", "center"),
        },
        ("IMAGE",),
    ),
    "VAEEncode": ({"pixels": "IMAGE", "vae": "VAE"}, ("LATENT",)),
    "VAEDecode": ({"samples": "LATENT", "vae": "VAE"}, ("IMAGE",)),
    "SaveImage": ({"images": "IMAGE", "filename_prefix": "text"}, ()),
    "RandomNoise": ({"noise_seed": SEEDS}, ("NOISE",)),
    "KSamplerSelect": ({"sampler_name": SAMPLERS}, ("SAMPLER",)),
    "BasicScheduler": ({"model": "MODEL", "scheduler": SCHEDULERS, "steps": STEPS, "denoise": PART}, ("SIGMAS",)),
    "Flux2Scheduler": ({"steps": (1, 4096), "width": SIDE, "height": SIDE}, ("SIGMAS",)),
    "SplitSigmasDenoise": ({"sigmas": "SIGMAS", "denoise": PART}, ("SIGMAS", "SIGMAS")),
    "BasicGuider": ({"model": "MODEL", "conditioning": "CONDITIONING"}, ("GUIDER",)),
    "CFGGuider": ({"model": "MODEL", **BOTH, "cfg": CFG}, ("GUIDER",)),
    "SamplerCustomAdvanced": (
        {"noise": "NOISE", "guider": "GUIDER", "sampler": "SAMPLER", "sigmas": "SIGMAS", "latent_image": "LATENT"},
        ("LATENT", "LATENT"),
    ),
    "KSampler": ({"model": "MODEL", **BOTH, "latent_image": "LATENT", **SAMPLING, "denoise": PART}, ("LATENT",)),
    "ControlNetLoader": ({"control_net_name": "file"}, ("CONTROL_NET",)),
    "SetUnionControlNetType": ({"control_net": "CONTROL_NET", "type": UNION_TYPES}, ("CONTROL_NET",)),
    "Canny": ({"image": "IMAGE", "low_threshold": (0.01, 0.99), "high_threshold": (0.01, 0.99)}, ("IMAGE",)),
    "DepthAnythingV2Preprocessor": ({"image": "IMAGE", "resolution": (64, 16384)}, ("IMAGE",)),
    "DWPreprocessor": ({"image": "IMAGE", "resolution": (64, 16384)}, ("IMAGE", "POSE_KEYPOINT")),
    "ControlNetApplyAdvanced": (
        {
            **BOTH,
            "control_net": "CONTROL_NET",
            "image": "IMAGE",
            "strength": (0.0, 10.0),
            "start_percent": PART,
            "end_percent": PART,
            "vae": "VAE",
        },
        ("CONDITIONING", "CONDITIONING"),
    ),
    "CLIPVisionLoader": ({"clip_name": "file"}, ("CLIP_VISION",)),
    "CLIPVisionEncode": (
        {"clip_vision": "CLIP_VISION", "image": "IMAGE", "crop": ("center", "none")},
        ("CLIP_VISION_OUTPUT",),
    ),
    "StyleModelLoader": ({"style_model_name": "file"}, ("STYLE_MODEL",)),
    "StyleModelApply": (
        {
            "conditioning": "CONDITIONING",
            "style_model": "STYLE_MODEL",
            "clip_vision_output": "CLIP_VISION_OUTPUT",
            "strength": (0.0, 10.0),
            "strength_type": ("multiply", "attn_bias"),
        },
        ("CONDITIONING",),
    ),
    "IPAdapterModelLoader": ({"ipadapter_file": "file"}, ("IPADAPTER",)),
    "IPAdapterAdvanced": (
        {
            "model": "MODEL",
            "ipadapter": "IPADAPTER",
            "image": "IMAGE",
            "clip_vision": "CLIP_VISION",
            "weight": (-1, 5),
            "weight_type": ("linear", "ease in"),
            "combine_embeds": ("concat", "add"),
            "start_at": PART,
            "end_at": PART,
            "embeds_scaling": ("V only", "K+V"),
        },
        ("MODEL",),
    ),
    "UltralyticsDetectorProvider": ({"model_name": "file"}, ("BBOX_DETECTOR", "SEGM_DETECTOR")),
    "FaceDetailer": (
        {
            "image": "IMAGE",
            "model": "MODEL",
            "clip": "CLIP",
            "vae": "VAE",
            **BOTH,
            **SAMPLING,
            "bbox_detector": "BBOX_DETECTOR",
            "guide_size": (64, 16384),
            "guide_size_for": "switch",
            "max_size": (64, 16384),
            "denoise": (0.0001, 1.0),
            "feather": (0, 100),
            "noise_mask": "switch",
            "force_inpaint": "switch",
            "bbox_threshold": PART,
            "bbox_dilation": (-512, 512),
            "bbox_crop_factor": (1.0, 10),
            "sam_detection_hint": HINTS,
            "sam_dilation": (-512, 512),
            "sam_threshold": PART,
            "sam_bbox_expansion": (0, 1000),
            "sam_mask_hint_threshold": PART,
            "sam_mask_hint_use_negative": ("False", "Small", "Outter"),
            "drop_size": (1, 16384),
            "wildcard": "text",
            "cycle": (1, 10),
        },
        ("IMAGE", "IMAGE", "IMAGE", "MASK", "DETAILER_PIPE", "IMAGE"),
    ),
    "UpscaleModelLoader": ({"model_name": "file"}, ("UPSCALE_MODEL",)),
    "ImageUpscaleWithModel": ({"upscale_model": "UPSCALE_MODEL", "image": "IMAGE"}, ("IMAGE",)),
}


def complaints(graph: Graph) -> Iterator[str]:
    """Yield what ComfyUI would refuse in the graph."""
    for node_id, node in graph.items():
        declared, _ = DECLARATIONS[node["class_type"]]
        where = f"{node['class_type']} {node_id}"
        if set(declared) != set(node["inputs"]):
            yield f"{where}: {set(declared) ^ set(node['inputs'])}"
            continue
        for name, value in node["inputs"].items():
            if not _fits(value, declared[name], graph):
                yield f"{where}.{name}: {value!r} is not {declared[name]}"


def _fits(value: Any, wanted: Any, graph: Graph) -> bool:
    if isinstance(value, tuple):
        source, output = value
        outputs = DECLARATIONS[graph[source]["class_type"]][1] if source in graph else ()
        return output < len(outputs) and outputs[output] == wanted
    if wanted == "switch" or isinstance(value, bool):
        return wanted == "switch" and isinstance(value, bool)
    if wanted in ("text", "file"):
        return isinstance(value, str) and bool(value or wanted == "text")
    if isinstance(wanted, tuple) and isinstance(wanted[0], str):
        return value in wanted
    return isinstance(wanted, tuple) and not isinstance(value, str) and wanted[0] <= value <= wanted[1]
