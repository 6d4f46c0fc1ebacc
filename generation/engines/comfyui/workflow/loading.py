"""The model with its text encoder and VAE, and the LoRAs on top of it."""

from collections.abc import Iterable

from generation.engines.comfyui import nodes
from generation.engines.comfyui.nodes import Graph, Link
from generation.engines.comfyui.workflow.request import CLIP, FIRST_LORA, MODEL, VAE, Loaded, Request
from generation.engines.order import LoraFile

MODEL_ONLY_LORA = "LoraLoaderModelOnly"
PAIR = 2


def load(graph: Graph, request: Request) -> Loaded:
    model, pick = request.model, request.catalogue.pick
    if model.is_checkpoint:
        file = pick("CheckpointLoaderSimple", "ckpt_name", model.diffusion_model)
        graph[MODEL] = nodes.checkpoint_loader(file)
        return Loaded(model=(MODEL, 0), clip=(MODEL, 1), vae=(MODEL, 2))
    graph[MODEL] = nodes.unet_loader(pick("UNETLoader", "unet_name", model.diffusion_model))
    _load_text_encoders(graph, request)
    graph[VAE] = nodes.vae_loader(pick("VAELoader", "vae_name", model.vae))
    return Loaded(model=(MODEL, 0), clip=(CLIP, 0), vae=(VAE, 0))


def _load_text_encoders(graph: Graph, request: Request) -> None:
    model, pick = request.model, request.catalogue.pick
    if len(model.text_encoders) == PAIR:
        first, second = model.text_encoders
        graph[CLIP] = nodes.dual_clip_loader(
            pick("DualCLIPLoader", "clip_name1", first), pick("DualCLIPLoader", "clip_name2", second), model.clip_type
        )
    else:
        (only,) = model.text_encoders
        graph[CLIP] = nodes.clip_loader(pick("CLIPLoader", "clip_name", only), model.clip_type)


def stack_loras(graph: Graph, request: Request, loaded: Loaded, loras: Iterable[LoraFile]) -> Loaded:
    """Chain one loader for each LoRA behind the model. A checkpoint's text encoder was trained with it."""
    model, clip = loaded.model, loaded.clip
    for number, lora in enumerate(loras, start=FIRST_LORA):
        node_id = str(number)
        if request.model.is_checkpoint:
            graph[node_id] = nodes.lora_loader_with_clip(model, clip, lora.name, lora.strength)
            clip = _second_of(node_id)
        else:
            graph[node_id] = nodes.lora_loader(model, lora.name, lora.strength)
        model = (node_id, 0)
    return Loaded(model=model, clip=clip, vae=loaded.vae)


def _second_of(node_id: str) -> Link:
    return (node_id, 1)
