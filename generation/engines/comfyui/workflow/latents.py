"""What the sampling starts from: nothing, or a given image."""

from generation.engines.comfyui import nodes
from generation.engines.comfyui.nodes import Graph, Link
from generation.engines.comfyui.workflow.request import INIT_IMAGE, INIT_LATENT, INIT_SIZE, LATENT, Loaded, Request


def start_latent(graph: Graph, request: Request, loaded: Loaded) -> Link:
    params = request.params
    if params.init_image is None:
        graph[LATENT] = nodes.empty_latent(request.model.latent_class, width=params.width, height=params.height)
        return (LATENT, 0)
    graph[INIT_IMAGE] = nodes.load_image(request.image("init_image"))
    graph[INIT_SIZE] = nodes.image_scale((INIT_IMAGE, 0), width=params.width, height=params.height)
    graph[INIT_LATENT] = nodes.vae_encode((INIT_SIZE, 0), loaded.vae)
    return (INIT_LATENT, 0)
