"""Whether the parameters of a generation fit together: what is refused, and what has no effect."""

import math
from collections.abc import Iterator

from generation.params import (
    IMAGE_OF_TOGGLE,
    MAX_LORAS,
    MAX_OUTPUT_SIDE_PIXELS,
    VARIANTS,
    GenerationParams,
)

UPLOAD_FIRST = "name an uploaded image (POST /api/generation/images) or an output"


def contradictions(params: GenerationParams) -> Iterator[tuple[str, str]]:
    """Yield the parameter and, for the person who sent it, what is wrong with it beside the others."""
    yield from _image_contradictions(params)
    if params.use_controlnet and params.control_start >= params.control_end:
        yield "control_start", "must be below control_end."
    width, height = params.output_size
    if max(width, height) > MAX_OUTPUT_SIDE_PIXELS:
        limit = f"at most {MAX_OUTPUT_SIDE_PIXELS} a side are possible"
        yield "upscale_factor", f"the image would have {width} x {height} pixels; {limit}."
    if params.init_image is not None and params.denoise < 1 and params.denoise * (params.steps + 1) > params.steps:
        # The engine takes the last steps of a longer schedule, which has no step left over then.
        most = math.floor(100 * params.steps / (params.steps + 1)) / 100
        yield "denoise", f"with {params.steps} steps nothing of init_image would be kept: at most {most}."
    if len(params.loras) + (params.lora_id is not None) > MAX_LORAS:
        yield "loras", f"at most {MAX_LORAS} LoRAs, lora_id included."


def _image_contradictions(params: GenerationParams) -> Iterator[tuple[str, str]]:
    for toggle, field in IMAGE_OF_TOGGLE.items():
        is_on, image = getattr(params, toggle), getattr(params, field)
        if is_on and image is None:
            yield field, f"{toggle} needs it: {UPLOAD_FIRST}."
        elif image is not None and not is_on:
            yield field, f"it is only used with {toggle}: set that to true, or leave the image out."


def without_effect(params: GenerationParams) -> Iterator[tuple[str, str]]:
    """Yield each parameter that was changed and changes nothing, with the reason."""
    if params.workflow is not None:
        # What a workflow of the operator does not take was refused.
        return
    model, generating = VARIANTS[params.model_variant], params.generating
    if generating.guidance == "none" and params.guidance_scale != generating.default_guidance:
        yield "guidance_scale", f"{model.title} was distilled to need no guidance."
    if generating.guidance == "cfg" and params.has_negative_prompt and params.guidance_scale == 1:
        yield "negative_prompt", "at a guidance_scale of 1 nothing is held against it."
    if params.init_image is not None and params.denoise == 1:
        yield "init_image", "at a denoise of 1 nothing of it is kept."
    yield from _idle(params)


DEPENDENTS = {
    "lora_id": ("lora_strength",),
    "init_image": ("denoise",),
    "use_controlnet": ("control_type", "control_preprocess", "control_strength", "control_start", "control_end"),
    "use_ipadapter": ("reference_strength",),
    "use_upscale": ("upscale_factor",),
}
"""The parameters that only act beside another one."""


def _idle(params: GenerationParams) -> Iterator[tuple[str, str]]:
    fields = GenerationParams.model_fields
    for leader, followers in DEPENDENTS.items():
        if getattr(params, leader):
            continue
        for name in followers:
            if getattr(params, name) != fields[name].default:
                yield name, f"it only acts with {leader}."
