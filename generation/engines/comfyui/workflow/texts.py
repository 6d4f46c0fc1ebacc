"""The prompt and the negative prompt, with the guidance of models that have it built in."""

from generation.engines.comfyui import nodes
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.workflow.request import (
    GUIDANCE,
    NEGATIVE,
    NEGATIVE_GUIDANCE,
    PROMPT,
    Loaded,
    Request,
    Texts,
)


def encode(graph: Graph, request: Request, loaded: Loaded) -> Texts:
    params = request.params
    negative = params.negative_prompt if params.has_negative_prompt else ""
    graph[PROMPT] = nodes.clip_text_encode(loaded.clip, params.prompt)
    graph[NEGATIVE] = nodes.clip_text_encode(loaded.clip, negative)
    if request.model.guidance != "embedded":
        return Texts(positive=(PROMPT, 0), negative=(NEGATIVE, 0))
    # Without it ComfyUI would evaluate the negative prompt at a guidance of its own choice.
    graph[GUIDANCE] = nodes.flux_guidance((PROMPT, 0), params.guidance_scale)
    graph[NEGATIVE_GUIDANCE] = nodes.flux_guidance((NEGATIVE, 0), params.guidance_scale)
    return Texts(positive=(GUIDANCE, 0), negative=(NEGATIVE_GUIDANCE, 0))
