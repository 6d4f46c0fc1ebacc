"""Enlargement of the finished picture by a model that was trained to draw the detail."""

from generation.engines.comfyui import addon_nodes, nodes
from generation.engines.comfyui.nodes import Graph, Link
from generation.engines.comfyui.workflow.request import ENLARGED, UPSCALE_MODEL, UPSCALED, Request

UPSCALERS = (
    "RealESRGAN_x4plus.pth",
    "RealESRGAN_x4plus.safetensors",
    "4x-UltraSharp.pth",
    "4x-UltraSharp.safetensors",
    "4x_foolhardy_Remacri.pth",
    "4x_NMKD-Siax_200k.pth",
    "4x-ESRGAN.pth",
)


def enlarge(graph: Graph, request: Request, image: Link) -> Link:
    if not request.params.use_upscale:
        return image
    file = request.catalogue.pick("UpscaleModelLoader", "model_name", UPSCALERS)
    graph[UPSCALE_MODEL] = addon_nodes.upscale_model_loader(file)
    graph[UPSCALED] = addon_nodes.image_upscale((UPSCALE_MODEL, 0), image)
    # The model has a factor of its own, usually four.
    width, height = request.params.output_size
    graph[ENLARGED] = nodes.image_scale((UPSCALED, 0), width=width, height=height)
    return (ENLARGED, 0)
