"""A reference image: Redux for FLUX.1, which is a part of ComfyUI, and IP-Adapter for SDXL."""

from dataclasses import replace

from generation.engines.comfyui import addon_nodes, nodes
from generation.engines.comfyui.nodes import Graph, Link
from generation.engines.comfyui.workflow.request import (
    CLIP_VISION,
    CLIP_VISION_OUTPUT,
    IP_ADAPTER,
    REFERENCE,
    REFERENCE_IMAGE,
    STYLE_MODEL,
    Loaded,
    NotOffered,
    Request,
    Texts,
)

STYLE_MODELS = ("flux1-redux-dev.safetensors",)
SIGLIP = ("sigclip_vision_patch14_384.safetensors",)
IP_ADAPTERS = ("ip-adapter-plus_sdxl_vit-h.safetensors", "ip-adapter_sdxl_vit-h.safetensors")
CLIP_VIT_H = ("CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "clip_vision_h.safetensors")


def adapt_model(graph: Graph, request: Request, loaded: Loaded) -> Loaded:
    """Let an IP-Adapter look at the reference in every layer, where the model has one."""
    params = request.params
    if not params.use_ipadapter or request.family == "flux":
        return loaded
    if request.family != "sdxl":
        raise NotOffered(f"Isengard knows no reference adapter for {request.title}.")
    file = request.catalogue.pick("IPAdapterModelLoader", "ipadapter_file", IP_ADAPTERS)
    graph[IP_ADAPTER] = addon_nodes.ip_adapter_loader(file)
    graph[REFERENCE] = addon_nodes.ip_adapter_apply(
        loaded.model,
        ip_adapter=(IP_ADAPTER, 0),
        clip_vision=_clip_vision(graph, request, CLIP_VIT_H),
        image=_reference(graph, request),
        weight=params.reference_strength,
    )
    return replace(loaded, model=(REFERENCE, 0))


def apply_style(graph: Graph, request: Request, texts: Texts) -> Texts:
    """Put what Redux reads out of the reference beside the prompt, where the model is one of FLUX.1."""
    params = request.params
    if not params.use_ipadapter or request.family != "flux":
        return texts
    vision = _clip_vision(graph, request, SIGLIP)
    graph[CLIP_VISION_OUTPUT] = addon_nodes.clip_vision_encode(vision, _reference(graph, request))
    file = request.catalogue.pick("StyleModelLoader", "style_model_name", STYLE_MODELS)
    graph[STYLE_MODEL] = addon_nodes.style_model_loader(file)
    graph[REFERENCE] = addon_nodes.style_model_apply(
        texts.positive,
        style_model=(STYLE_MODEL, 0),
        clip_vision_output=(CLIP_VISION_OUTPUT, 0),
        strength=params.reference_strength,
    )
    return replace(texts, positive=(REFERENCE, 0))


def _reference(graph: Graph, request: Request) -> Link:
    graph[REFERENCE_IMAGE] = nodes.load_image(request.image("reference_image"))
    return (REFERENCE_IMAGE, 0)


def _clip_vision(graph: Graph, request: Request, names: tuple[str, ...]) -> Link:
    graph[CLIP_VISION] = addon_nodes.clip_vision_loader(request.catalogue.pick("CLIPVisionLoader", "clip_name", names))
    return (CLIP_VISION, 0)
