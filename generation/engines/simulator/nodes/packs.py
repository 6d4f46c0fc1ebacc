"""Nodes that are no part of ComfyUI: those of the packs for reference images, faces, and maps of depth and pose."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from PIL import Image, ImageFilter, ImageOps

from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.node_schema import InputSpec, Node, choice, decimal, file_in, integer, link, text
from generation.engines.simulator.node_schema import seed as seed_input
from generation.engines.simulator.nodes.loaders import load_file
from generation.engines.simulator.nodes.sampler_names import SAMPLERS, SCHEDULERS
from generation.engines.simulator.nodes.sampling import sample
from generation.engines.simulator.render import repaint_face
from generation.engines.simulator.values import Guider, Influence, Latent, Result, Sigmas, digest_of_pictures

IP_ADAPTER_PACK = "custom_nodes.ComfyUI_IPAdapter_plus"
IMPACT_PACK = "custom_nodes.ComfyUI-Impact-Pack"
IMPACT_SUBPACK = "custom_nodes.ComfyUI-Impact-Subpack"
PREPROCESSORS_PACK = "custom_nodes.comfyui_controlnet_aux"
SIDE_MAX = 16384
WEIGHT_TYPES = ("linear", "ease in", "ease out", "ease in-out", "reverse in-out", "weak input", "weak output")
HINTS = (
    *("center-1", "horizontal-2", "vertical-2", "rect-4", "diamond-4"),
    *("mask-area", "mask-points", "mask-point-bbox", "none"),
)


def _adapt(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    model = inputs["model"]
    if inputs["weight"] == 0:
        return Result((model,))
    names = ("weight", "weight_type", "combine_embeds", "start_at", "end_at", "embeds_scaling")
    strengths = tuple(inputs[name] for name in names)
    influence = Influence(inputs["ipadapter"].file_name, digest_of_pictures(inputs["image"]), strengths)
    return Result((replace(model, adapters=(*model.adapters, influence)),))


def _load_detector(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    (detector,) = load_file("ultralytics", "model_name")(context, inputs).outputs
    return Result((detector, detector))


def _detail_faces(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    """Paint the middle of each picture anew, as if there were a face in it."""
    pictures = tuple(
        _with_new_face(context, inputs, picture, seed=inputs["seed"] + number)
        for number, picture in enumerate(inputs["image"])
    )
    pipe = tuple(inputs[name] for name in ("model", "clip", "vae", "positive", "negative"))
    mask = tuple(Image.new("L", picture.size) for picture in pictures)
    return Result((pictures, pictures, pictures, mask, pipe, pictures))


def _with_new_face(context: NodeContext, inputs: Mapping[str, Any], picture: Image.Image, *, seed: int) -> Image.Image:
    latent = sample(
        context,
        guider=Guider(inputs["model"], inputs["positive"], inputs["negative"], inputs["cfg"]),
        seed_value=seed,
        sampler=inputs["sampler_name"],
        sigmas=Sigmas(inputs["scheduler"], inputs["steps"], inputs["denoise"]),
        latent=Latent(width=picture.width, height=picture.height, batch_size=1, pictures=(picture,)),
    )
    return picture if latent.recipe is None else repaint_face(picture, latent.recipe)


def _map_depth(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((_maps(inputs, lambda picture: picture.filter(ImageFilter.GaussianBlur(8))),))


def _map_pose(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((_maps(inputs, lambda picture: ImageOps.posterize(ImageOps.invert(picture), 2)), None))


def _maps(inputs: Mapping[str, Any], draw: Callable[[Image.Image], Image.Image]) -> tuple[Image.Image, ...]:
    """Draw a map of each picture, `resolution` pixels at its shorter side."""
    resolution = inputs.get("resolution", 512)
    return tuple(_map(picture, draw, resolution / min(picture.size)) for picture in inputs["image"])


def _map(picture: Image.Image, draw: Callable[[Image.Image], Image.Image], scale: float) -> Image.Image:
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return draw(picture.convert("L").resize(size)).convert("RGB")


def _switch(*, default: bool) -> InputSpec:
    return InputSpec(type="BOOLEAN", config={"default": default})


def _preprocessor(name: str, run: Callable[[NodeContext, Mapping[str, Any]], Result], *outputs: str) -> Node:
    return Node(
        name=name,
        category="ControlNet Preprocessors",
        module=PREPROCESSORS_PACK,
        run=run,
        required={"image": link("IMAGE")},
        optional={"resolution": integer(512, 64, SIDE_MAX, step=64)},
        outputs=outputs,
    )


_PART = {"low": 0.0, "high": 1.0}
_SIDE = decimal(512, 64, SIDE_MAX, step=8)

NODES = (
    Node(
        name="IPAdapterModelLoader",
        display_name="IPAdapter Model Loader",
        category="ipadapter/loaders",
        module=IP_ADAPTER_PACK,
        run=load_file("ipadapter", "ipadapter_file"),
        required={"ipadapter_file": file_in("ipadapter")},
        outputs=("IPADAPTER",),
    ),
    Node(
        name="IPAdapterAdvanced",
        display_name="IPAdapter Advanced",
        category="ipadapter",
        module=IP_ADAPTER_PACK,
        run=_adapt,
        required={
            "model": link("MODEL"),
            "ipadapter": link("IPADAPTER"),
            "image": link("IMAGE"),
            "weight": decimal(1.0, -1, 5, step=0.05),
            "weight_type": choice(*WEIGHT_TYPES),
            "combine_embeds": choice("concat", "add", "subtract", "average", "norm average"),
            "start_at": decimal(0.0, **_PART, step=0.001),
            "end_at": decimal(1.0, **_PART, step=0.001),
            "embeds_scaling": choice("V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"),
        },
        optional={"image_negative": link("IMAGE"), "attn_mask": link("MASK"), "clip_vision": link("CLIP_VISION")},
        outputs=("MODEL",),
    ),
    Node(
        name="UltralyticsDetectorProvider",
        category="ImpactPack",
        module=IMPACT_SUBPACK,
        run=_load_detector,
        required={"model_name": file_in("ultralytics")},
        outputs=("BBOX_DETECTOR", "SEGM_DETECTOR"),
    ),
    Node(
        name="FaceDetailer",
        category="ImpactPack/Simple",
        module=IMPACT_PACK,
        run=_detail_faces,
        required={
            "image": link("IMAGE"),
            "model": link("MODEL"),
            "clip": link("CLIP"),
            "vae": link("VAE"),
            "guide_size": _SIDE,
            "guide_size_for": _switch(default=True),
            "max_size": _SIDE,
            "seed": seed_input(),
            "steps": integer(20, 1, 10000),
            "cfg": decimal(8.0, 0.0, 100.0),
            "sampler_name": choice(*SAMPLERS),
            "scheduler": choice(*SCHEDULERS),
            "positive": link("CONDITIONING"),
            "negative": link("CONDITIONING"),
            "denoise": decimal(0.5, 0.0001, 1.0, step=0.01),
            "feather": integer(5, 0, 100),
            "noise_mask": _switch(default=True),
            "force_inpaint": _switch(default=True),
            "bbox_threshold": decimal(0.5, **_PART, step=0.01),
            "bbox_dilation": integer(10, -512, 512),
            "bbox_crop_factor": decimal(3.0, 1.0, 10, step=0.1),
            "sam_detection_hint": choice(*HINTS),
            "sam_dilation": integer(0, -512, 512),
            "sam_threshold": decimal(0.93, **_PART, step=0.01),
            "sam_bbox_expansion": integer(0, 0, 1000),
            "sam_mask_hint_threshold": decimal(0.7, **_PART, step=0.01),
            "sam_mask_hint_use_negative": choice("False", "Small", "Outter"),
            "drop_size": integer(10, 1, SIDE_MAX),
            "bbox_detector": link("BBOX_DETECTOR"),
            "wildcard": text(multiline=True),
            "cycle": integer(1, 1, 10),
        },
        outputs=("IMAGE", "IMAGE", "IMAGE", "MASK", "DETAILER_PIPE", "IMAGE"),
        output_names=("image", "cropped_refined", "cropped_enhanced_alpha", "mask", "detailer_pipe", "cnet_images"),
    ),
    _preprocessor("DepthAnythingV2Preprocessor", _map_depth, "IMAGE"),
    _preprocessor("DWPreprocessor", _map_pose, "IMAGE", "POSE_KEYPOINT"),
)
