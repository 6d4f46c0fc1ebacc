"""The graph of one image. Pure: the same arguments give the same graph."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from generation.engines.comfyui import nodes
from generation.engines.comfyui.catalogue import UNKNOWN, Catalogue
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.workflow.control import apply_control
from generation.engines.comfyui.workflow.faces import detail_faces
from generation.engines.comfyui.workflow.latents import start_latent
from generation.engines.comfyui.workflow.loading import load, stack_loras
from generation.engines.comfyui.workflow.reference import adapt_model, apply_style
from generation.engines.comfyui.workflow.request import DECODE, SAMPLER, SAVE, Request
from generation.engines.comfyui.workflow.sampling import sample, shift
from generation.engines.comfyui.workflow.texts import encode
from generation.engines.comfyui.workflow.upscaling import enlarge
from generation.engines.order import LoraFile
from generation.params import GenerationParams, ImageField

NO_IMAGES: Mapping[ImageField, str] = MappingProxyType({})


def build_graph(
    params: GenerationParams,
    loras: Iterable[LoraFile],
    *,
    seed: int,
    prefix: str,
    catalogue: Catalogue = UNKNOWN,
    images: Mapping[ImageField, str] = NO_IMAGES,
) -> Graph:
    """Return the graph for one image of `seed`, saved below ComfyUI's output folder as `prefix`.

    `catalogue` says under which names the server has the model files, `images` under which it has the given images.
    Raises NotOffered.
    """
    request = Request(params=params, seed=seed, catalogue=catalogue, images=images)
    graph: Graph = {}
    loaded = adapt_model(graph, request, stack_loras(graph, request, load(graph, request), loras))
    loaded = shift(graph, request, loaded)
    texts = apply_style(graph, request, encode(graph, request, loaded))
    texts = apply_control(graph, request, loaded, texts)
    latent = start_latent(graph, request, loaded)
    graph[SAMPLER] = sample(graph, request, loaded, texts, latent)
    graph[DECODE] = nodes.vae_decode((SAMPLER, 0), loaded.vae)
    image = detail_faces(graph, request, loaded, texts, (DECODE, 0))
    image = enlarge(graph, request, image)
    graph[SAVE] = nodes.save_image(image, prefix)
    return _only_used(graph)


def _only_used(graph: Graph) -> Graph:
    """Drop what the image does not depend on: an empty negative prompt is made for whoever wants one."""
    used: set[str] = set()
    waiting = [SAVE]
    while waiting:
        node_id = waiting.pop()
        if node_id not in used:
            used.add(node_id)
            waiting += [value[0] for value in graph[node_id]["inputs"].values() if isinstance(value, tuple)]
    return {node_id: node for node_id, node in graph.items() if node_id in used}
