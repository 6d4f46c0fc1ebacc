"""Sampling, as each model wants it."""

from dataclasses import replace

from generation.engines.comfyui import nodes
from generation.engines.comfyui.nodes import Graph, Link, Node
from generation.engines.comfyui.workflow.request import (
    GUIDER,
    NOISE,
    SAMPLER_NAME,
    SHIFT,
    SIGMAS,
    SPLIT_SIGMAS,
    Loaded,
    Request,
    Texts,
)


def shift(graph: Graph, request: Request, loaded: Loaded) -> Loaded:
    """Move the noise schedule to where the model works best."""
    model, params = request.model, request.params
    if model.sampling == "flux":
        graph[SHIFT] = nodes.model_sampling_flux(loaded.model, width=params.width, height=params.height)
    elif model.shift is not None:
        graph[SHIFT] = nodes.model_sampling_aura_flow(loaded.model, model.shift)
    else:
        return loaded
    return replace(loaded, model=(SHIFT, 0))


def sample(graph: Graph, request: Request, loaded: Loaded, texts: Texts, latent: Link) -> Node:
    """Return the node that samples."""
    if request.model.sampling == "plain":
        settings = request.sampler_settings(denoise=request.denoise)
        return nodes.ksampler(
            model=loaded.model, positive=texts.positive, negative=texts.negative, latent=latent, settings=settings
        )
    graph[NOISE] = nodes.random_noise(request.seed)
    graph[SAMPLER_NAME] = nodes.sampler_select(request.model.sampler)
    graph[GUIDER] = _guider(request, loaded, texts)
    return nodes.sampler_custom_advanced(
        noise=(NOISE, 0),
        guider=(GUIDER, 0),
        sampler=(SAMPLER_NAME, 0),
        sigmas=_sigmas(graph, request, loaded),
        latent=latent,
    )


def _guider(request: Request, loaded: Loaded, texts: Texts) -> Node:
    if request.cfg == 1:
        return nodes.basic_guider(loaded.model, texts.positive)
    return nodes.cfg_guider(loaded.model, positive=texts.positive, negative=texts.negative, cfg=request.cfg)


def _sigmas(graph: Graph, request: Request, loaded: Loaded) -> Link:
    if request.model.sampling == "flux2":
        return _flux2_sigmas(graph, request)
    graph[SIGMAS] = nodes.basic_scheduler(
        loaded.model, request.model.scheduler, steps=request.params.steps, denoise=request.denoise
    )
    return (SIGMAS, 0)


def _flux2_sigmas(graph: Graph, request: Request) -> Link:
    """FLUX.2's own scheduler knows no denoising in part: a longer schedule is made, and its end is used."""
    params = request.params
    steps = round(params.steps / request.denoise)
    graph[SIGMAS] = nodes.flux2_scheduler(steps=steps, width=params.width, height=params.height)
    if request.denoise == 1:
        return (SIGMAS, 0)
    graph[SPLIT_SIGMAS] = nodes.split_sigmas_denoise((SIGMAS, 0), request.denoise)
    return (SPLIT_SIGMAS, 1)
