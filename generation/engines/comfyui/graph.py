"""The graphs that make one image with FLUX, composed of nodes. Pure: the same arguments give the same graph."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from generation.engines.comfyui import nodes
from generation.engines.comfyui.nodes import Graph, Link
from generation.engines.order import LoraFile
from generation.params import GenerationParams, ModelVariant

T5_FILE = "t5xxl_fp16.safetensors"
CLIP_FILE = "clip_l.safetensors"
VAE_FILE = "ae.safetensors"
MODEL_FILES: Mapping[ModelVariant, str] = MappingProxyType(
    {"flux-dev": "flux1-dev.safetensors", "flux-schnell": "flux1-schnell.safetensors"}
)

MODEL, CLIP, VAE = "1", "2", "3"
PROMPT, GUIDANCE, NEGATIVE = "5", "6", "16"
LATENT, NOISE, SAMPLER_NAME, SHIFT, SIGMAS, GUIDER = "7", "8", "9", "10", "11", "12"
SAMPLER, DECODE, SAVE = "13", "14", "15"
FIRST_LORA = 40
LORA_CLASS = "LoraLoaderModelOnly"


def build_graph(params: GenerationParams, loras: Iterable[LoraFile], *, seed: int, prefix: str) -> Graph:
    """Return the graph for one image of `seed`, saved below ComfyUI's output folder as `prefix`."""
    graph = _loaders(params)
    model = _stack_loras(graph, loras)
    sample = _sample_dev if params.model_variant == "flux-dev" else _sample_schnell
    sample(graph, params, model=model, seed=seed)
    graph[DECODE] = nodes.vae_decode((SAMPLER, 0), (VAE, 0))
    graph[SAVE] = nodes.save_image((DECODE, 0), prefix)
    return graph


def _loaders(params: GenerationParams) -> Graph:
    return {
        MODEL: nodes.unet_loader(MODEL_FILES[params.model_variant]),
        CLIP: nodes.dual_clip_loader(T5_FILE, CLIP_FILE),
        VAE: nodes.vae_loader(VAE_FILE),
        PROMPT: nodes.clip_text_encode((CLIP, 0), params.prompt),
        LATENT: nodes.empty_latent(width=params.width, height=params.height),
    }


def _stack_loras(graph: Graph, loras: Iterable[LoraFile]) -> Link:
    """Chain one loader for each LoRA behind the model and return the output of the last one."""
    model: Link = (MODEL, 0)
    for number, lora in enumerate(loras, start=FIRST_LORA):
        graph[str(number)] = nodes.lora_loader(model, lora.name, lora.strength)
        model = (str(number), 0)
    return model


def _sample_dev(graph: Graph, params: GenerationParams, *, model: Link, seed: int) -> None:
    graph[GUIDANCE] = nodes.flux_guidance((PROMPT, 0), params.guidance_scale)
    graph[NOISE] = nodes.random_noise(seed)
    graph[SAMPLER_NAME] = nodes.sampler_select("euler")
    graph[SHIFT] = nodes.model_sampling_flux(model, width=params.width, height=params.height)
    graph[SIGMAS] = nodes.basic_scheduler((SHIFT, 0), "simple", steps=params.steps)
    graph[GUIDER] = nodes.basic_guider((SHIFT, 0), (GUIDANCE, 0))
    graph[SAMPLER] = nodes.sampler_custom_advanced(
        noise=(NOISE, 0), guider=(GUIDER, 0), sampler=(SAMPLER_NAME, 0), sigmas=(SIGMAS, 0), latent=(LATENT, 0)
    )


def _sample_schnell(graph: Graph, params: GenerationParams, *, model: Link, seed: int) -> None:
    # KSampler insists on a negative conditioning, which has no effect at CFG 1.
    graph[NEGATIVE] = nodes.clip_text_encode((CLIP, 0), "")
    graph[SAMPLER] = nodes.ksampler_without_cfg(
        model=model,
        positive=(PROMPT, 0),
        negative=(NEGATIVE, 0),
        latent=(LATENT, 0),
        seed=seed,
        steps=params.steps,
    )
