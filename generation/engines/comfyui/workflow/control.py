"""ControlNet: an image that guides the composition."""

from collections.abc import Mapping
from types import MappingProxyType

from base_models import Family
from generation.engines.comfyui import addon_nodes, nodes
from generation.engines.comfyui.nodes import Graph, Link, Node
from generation.engines.comfyui.workflow.request import (
    CONTROL,
    CONTROL_IMAGE,
    CONTROL_MAP,
    CONTROL_NET,
    CONTROL_SIZE,
    UNION_TYPE,
    Loaded,
    NotOffered,
    Request,
    Texts,
)
from generation.params import ControlType

FLUX_UNION = (
    "FLUX.1-dev-ControlNet-Union-Pro-2.0.safetensors",
    "FLUX.1-dev-ControlNet-Union-Pro.safetensors",
    "FLUX.1-dev-ControlNet-Union.safetensors",
)
SDXL_UNION = ("controlnet-union-sdxl-1.0-promax.safetensors", "controlnet-union-sdxl-1.0.safetensors")
QWEN_UNION = ("Qwen-Image-InstantX-ControlNet-Union.safetensors",)
CONTROL_NETS: Mapping[Family, Mapping[ControlType, tuple[str, ...]]] = MappingProxyType(
    {
        "flux": {
            "canny": ("flux-canny-controlnet-v3.safetensors", *FLUX_UNION),
            "depth": ("flux-depth-controlnet-v3.safetensors", *FLUX_UNION),
            "pose": FLUX_UNION,
        },
        "sdxl": {"canny": SDXL_UNION, "depth": SDXL_UNION, "pose": SDXL_UNION},
        "qwen-image": {"canny": QWEN_UNION, "depth": QWEN_UNION, "pose": QWEN_UNION},
    }
)
# Those that must be told what kind of map they get; the others see it.
TOLD_THE_TYPE = frozenset({*FLUX_UNION[1:], *SDXL_UNION})
UNION_TYPES: Mapping[ControlType, str] = MappingProxyType(
    {"canny": "canny/lineart/anime_lineart/mlsd", "depth": "depth", "pose": "openpose"}
)
CANNY_LOW, CANNY_HIGH = 0.4, 0.8
PREPROCESSORS: Mapping[ControlType, str] = MappingProxyType(
    {"depth": "DepthAnythingV2Preprocessor", "pose": "DWPreprocessor"}
)


def apply_control(graph: Graph, request: Request, loaded: Loaded, texts: Texts) -> Texts:
    params = request.params
    if not params.use_controlnet:
        return texts
    control_net = _load_control_net(graph, request)
    graph[CONTROL] = addon_nodes.control_net_apply(
        positive=texts.positive,
        negative=texts.negative,
        control_net=control_net,
        image=_control_map(graph, request),
        vae=loaded.vae,
        strength=params.control_strength,
        span=(params.control_start, params.control_end),
    )
    return Texts(positive=(CONTROL, 0), negative=(CONTROL, 1))


def _load_control_net(graph: Graph, request: Request) -> Link:
    control_type = request.params.control_type
    names = CONTROL_NETS.get(request.family, {}).get(control_type)
    if names is None:
        raise NotOffered(f"Isengard knows no ControlNet for {request.title}.")
    file = request.catalogue.pick("ControlNetLoader", "control_net_name", names)
    graph[CONTROL_NET] = addon_nodes.control_net_loader(file)
    if file not in TOLD_THE_TYPE:
        return (CONTROL_NET, 0)
    graph[UNION_TYPE] = addon_nodes.union_control_net_type((CONTROL_NET, 0), UNION_TYPES[control_type])
    return (UNION_TYPE, 0)


def _control_map(graph: Graph, request: Request) -> Link:
    params = request.params
    graph[CONTROL_IMAGE] = nodes.load_image(request.image("control_image"))
    graph[CONTROL_SIZE] = nodes.image_scale((CONTROL_IMAGE, 0), width=params.width, height=params.height)
    if not params.control_preprocess:
        return (CONTROL_SIZE, 0)
    graph[CONTROL_MAP] = _preprocessor(request, (CONTROL_SIZE, 0))
    return (CONTROL_MAP, 0)


def _preprocessor(request: Request, image: Link) -> Node:
    params = request.params
    if params.control_type == "canny":
        return addon_nodes.canny(image, low=CANNY_LOW, high=CANNY_HIGH)
    return addon_nodes.preprocessor(PREPROCESSORS[params.control_type], image, min(params.width, params.height))
