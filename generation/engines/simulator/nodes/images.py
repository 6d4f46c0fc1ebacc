"""Nodes that load, change and save pictures."""

import hashlib
import random
import re
import string
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageFilter, ImageOps

from generation.engines.simulator.folders import Folders, is_below
from generation.engines.simulator.image_files import png_info, save_pictures
from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.node_schema import Node, choice, decimal, file_in, integer, link, text
from generation.engines.simulator.values import LoadedFile, Result

Pictures = tuple[Image.Image, ...]

RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
UPSCALE_FACTOR_DEFAULT = 4
_FACTOR_IN_NAME = re.compile(r"(?<!\d)(?:x([1-8])|([1-8])x)(?!\d)", re.IGNORECASE)


def _load(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    with Image.open(context.folders.annotated_path(inputs["image"])) as file:
        upright = ImageOps.exif_transpose(file)
        mask = ImageOps.invert(upright.getchannel("A")) if "A" in upright.getbands() else Image.new("L", (64, 64))
        return Result(((upright.convert("RGB"),), (mask,)))


def _refuse_missing(folders: Folders, name: str) -> str | None:
    """Unlike the combo, which lists only the top of the folder, this also accepts what lies deeper."""
    path = folders.annotated_path(name)
    is_there = is_below(path, folders.base) and path.is_file()
    return None if is_there else f"Invalid image file: {name}"


def _fingerprint(folders: Folders, inputs: Mapping[str, Any]) -> str:
    return hashlib.sha256(folders.annotated_path(inputs["image"]).read_bytes()).hexdigest()


def _save(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return _save_to(context, inputs["images"], inputs["filename_prefix"], "output")


def _show(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    suffix = "".join(random.choices(string.ascii_lowercase, k=5))
    return _save_to(context, inputs["images"], f"ComfyUI_temp_{suffix}", "temp")


def _save_to(context: NodeContext, pictures: Pictures, prefix: str, file_type: str) -> Result:
    info = png_info(context.graph, context.extra_pnginfo)
    root = context.folders.directory(file_type)
    saved = save_pictures(pictures, prefix, root=root, file_type=file_type, info=info)
    return Result(shown={"images": saved})


def _resize(pictures: Pictures, size: tuple[int, int], method: str) -> Pictures:
    return tuple(picture.resize(size, RESAMPLING[method]) for picture in pictures)


def _scale(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    """A side of 0 follows from the other one, keeping the proportions; two of them leave the picture alone."""
    pictures, width, height = inputs["image"], inputs["width"], inputs["height"]
    if width == 0 and height == 0:
        return Result((pictures,))
    old_width, old_height = pictures[0].size
    size = (width or max(1, round(old_width * height / old_height)), height or round(old_height * width / old_width))
    if inputs["crop"] == "center":
        method = RESAMPLING[inputs["upscale_method"]]
        return Result((tuple(ImageOps.fit(picture, size, method) for picture in pictures),))
    return Result((_resize(pictures, size, inputs["upscale_method"]),))


def _scale_by(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    width, height = inputs["image"][0].size
    size = (max(1, round(width * inputs["scale_by"])), max(1, round(height * inputs["scale_by"])))
    return Result((_resize(inputs["image"], size, inputs["upscale_method"]),))


def _upscale(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    """Enlarge by the factor in the model's name, such as the 4 of RealESRGAN_x4plus."""
    model: LoadedFile = inputs["upscale_model"]
    match = _FACTOR_IN_NAME.search(model.file_name)
    factor = int(match[1] or match[2]) if match else UPSCALE_FACTOR_DEFAULT
    width, height = inputs["image"][0].size
    return Result((_resize(inputs["image"], (width * factor, height * factor), "lanczos"),))


def _find_edges(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    threshold = round(255 * inputs["low_threshold"] * inputs["high_threshold"])
    edges = (picture.convert("L").filter(ImageFilter.FIND_EDGES) for picture in inputs["image"])
    lines = (edge.point(lambda value: 255 if value > threshold else 0) for edge in edges)
    return Result((tuple(line.convert("RGB") for line in lines),))


_METHOD = choice(*RESAMPLING)

NODES = (
    Node(
        name="LoadImage",
        display_name="Load Image",
        category="image",
        run=_load,
        required={"image": file_in("input", image_upload=True)},
        outputs=("IMAGE", "MASK"),
        fingerprint=_fingerprint,
        refuses=_refuse_missing,
    ),
    Node(
        name="SaveImage",
        display_name="Save Image",
        category="image",
        run=_save,
        required={
            "images": link("IMAGE", tooltip="The images to save."),
            "filename_prefix": text(default="ComfyUI"),
        },
        is_output=True,
    ),
    Node(
        name="PreviewImage",
        display_name="Preview Image",
        category="image",
        run=_show,
        required={"images": link("IMAGE")},
        is_output=True,
    ),
    Node(
        name="ImageScale",
        display_name="Upscale Image",
        category="image/upscaling",
        run=_scale,
        required={
            "image": link("IMAGE"),
            "upscale_method": _METHOD,
            "width": integer(512, 0, 16384, step=1),
            "height": integer(512, 0, 16384, step=1),
            "crop": choice("disabled", "center"),
        },
        outputs=("IMAGE",),
    ),
    Node(
        name="ImageScaleBy",
        display_name="Upscale Image By",
        category="image/upscaling",
        run=_scale_by,
        required={
            "image": link("IMAGE"),
            "upscale_method": _METHOD,
            "scale_by": decimal(1.0, 0.01, 8.0, step=0.01),
        },
        outputs=("IMAGE",),
    ),
    Node(
        name="ImageUpscaleWithModel",
        display_name="Upscale Image (using Model)",
        category="image/upscaling",
        module="comfy_extras.nodes_upscale_model",
        run=_upscale,
        required={"upscale_model": link("UPSCALE_MODEL"), "image": link("IMAGE")},
        outputs=("IMAGE",),
        is_new_style=True,
    ),
    Node(
        name="Canny",
        category="image/preprocessors",
        module="comfy_extras.nodes_canny",
        run=_find_edges,
        required={
            "image": link("IMAGE"),
            "low_threshold": decimal(0.4, 0.01, 0.99, step=0.01),
            "high_threshold": decimal(0.8, 0.01, 0.99, step=0.01),
        },
        outputs=("IMAGE",),
        is_new_style=True,
    ),
)
