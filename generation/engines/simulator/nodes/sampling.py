"""Nodes that sample a latent, and what they need for it."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from generation.engines.simulator.errors import NodeFailed
from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.node_schema import Node, choice, decimal, integer, link, seed
from generation.engines.simulator.nodes.latents import image_size, pictures_of
from generation.engines.simulator.nodes.sampler_names import SAMPLERS, SCHEDULERS
from generation.engines.simulator.render import paint_preview
from generation.engines.simulator.values import (
    Conditioning,
    Guider,
    Latent,
    Recipe,
    Result,
    Sigmas,
    digest_of_pictures,
)

CRASH_EXIT_CODE = 1
OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.25 GiB. GPU 0 has a total capacity of 23.99 GiB, 1.04 GiB are free.\n"
    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might have "
    "accidentally set the batch_size to a large number."
)


def _sample(
    context: NodeContext, *, guider: Guider, seed_value: int, sampler: str, sigmas: Sigmas, latent: Latent
) -> Latent:
    if context.faults.take("oom"):
        context.residency.model = None
        raise NodeFailed(OUT_OF_MEMORY, reported_type="torch.OutOfMemoryError")
    context.load(guider.model)
    sources = () if sigmas.denoise >= 1 else pictures_of(latent)
    recipe = Recipe(
        model=guider.model,
        positive=guider.positive,
        negative=_effective_negative(guider),
        cfg=guider.cfg,
        seed=seed_value,
        sampler=sampler,
        sigmas=sigmas,
        width=latent.width,
        height=latent.height,
        source_digest=digest_of_pictures(sources) if sources else None,
    )
    _step_through(context, recipe)
    return replace(latent, pictures=sources, recipe=recipe) if sigmas.steps else latent


def _effective_negative(guider: Guider) -> Conditioning | None:
    """At a CFG scale of exactly 1 the negative conditioning cancels out, and ComfyUI does not even evaluate it."""
    return None if guider.cfg == 1 else guider.negative


def _step_through(context: NodeContext, recipe: Recipe) -> None:
    context.faults.act_now()
    steps = recipe.sigmas.steps
    for step in range(1, steps + 1):
        _stumble(context)
        time.sleep(context.step_seconds)
        context.interruption.check()
        context.report_step(step, steps, partial(paint_preview, recipe, step / steps))
    context.interruption.check()


def _stumble(context: NodeContext) -> None:
    if context.faults.take("crash"):
        os._exit(CRASH_EXIT_CODE)
    if context.faults.take("hang"):
        context.interruption.wait()
    if context.faults.take("hang-deaf"):
        context.interruption.wait_deaf()


def _sample_custom(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    latent = _sample(
        context,
        guider=inputs["guider"],
        seed_value=inputs["noise"],
        sampler=inputs["sampler"],
        sigmas=inputs["sigmas"],
        latent=inputs["latent_image"],
    )
    return Result((latent, latent))


def _sample_classic(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    latent = _sample(
        context,
        guider=Guider(inputs["model"], inputs["positive"], inputs["negative"], inputs["cfg"]),
        seed_value=inputs["seed"],
        sampler=inputs["sampler_name"],
        sigmas=_schedule(inputs),
        latent=inputs["latent_image"],
    )
    return Result((latent,))


def _schedule(inputs: Mapping[str, Any]) -> Sigmas:
    """Without any denoising there are no steps, and the latent comes out as it went in."""
    steps = inputs["steps"] if inputs["denoise"] > 0 else 0
    return Sigmas(inputs["scheduler"], steps, inputs["denoise"])


def _set_flux_sampling(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    sampling = tuple(float(inputs[name]) for name in ("max_shift", "base_shift", "width", "height"))
    return Result((replace(inputs["model"], sampling=sampling),))


def _guide_with_cfg(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((Guider(inputs["model"], inputs["positive"], inputs["negative"], inputs["cfg"]),))


def _pass_on(name: str) -> Callable[[NodeContext, Mapping[str, Any]], Result]:
    return lambda _, inputs: Result((inputs[name],))


_CFG = decimal(8.0, 0.0, 100.0, step=0.1, round=0.01)
_DENOISE = decimal(1.0, 0.0, 1.0, step=0.01)
_STEPS = integer(20, 1, 10000)
_CUSTOM = "comfy_extras.nodes_custom_sampler"


NODES = (
    Node(
        name="ModelSamplingFlux",
        category="advanced/model",
        module="comfy_extras.nodes_model_advanced",
        run=_set_flux_sampling,
        required={
            "model": link("MODEL"),
            "max_shift": decimal(1.15, 0.0, 100.0, step=0.01),
            "base_shift": decimal(0.5, 0.0, 100.0, step=0.01),
            **image_size(1024, 8),
        },
        outputs=("MODEL",),
    ),
    Node(
        name="RandomNoise",
        category="sampling/custom_sampling/noise",
        module=_CUSTOM,
        run=_pass_on("noise_seed"),
        required={"noise_seed": seed()},
        outputs=("NOISE",),
        is_new_style=True,
    ),
    Node(
        name="KSamplerSelect",
        category="sampling/custom_sampling/samplers",
        module=_CUSTOM,
        run=_pass_on("sampler_name"),
        required={"sampler_name": choice(*SAMPLERS)},
        outputs=("SAMPLER",),
        is_new_style=True,
    ),
    Node(
        name="BasicScheduler",
        category="sampling/custom_sampling/schedulers",
        module=_CUSTOM,
        run=lambda _, inputs: Result((_schedule(inputs),)),
        required={"model": link("MODEL"), "scheduler": choice(*SCHEDULERS), "steps": _STEPS, "denoise": _DENOISE},
        outputs=("SIGMAS",),
        is_new_style=True,
    ),
    Node(
        name="BasicGuider",
        category="sampling/custom_sampling/guiders",
        module=_CUSTOM,
        run=lambda _, inputs: Result((Guider(inputs["model"], inputs["conditioning"]),)),
        required={"model": link("MODEL"), "conditioning": link("CONDITIONING")},
        outputs=("GUIDER",),
        is_new_style=True,
    ),
    Node(
        name="CFGGuider",
        category="sampling/custom_sampling/guiders",
        module=_CUSTOM,
        run=_guide_with_cfg,
        required={
            "model": link("MODEL"),
            "positive": link("CONDITIONING"),
            "negative": link("CONDITIONING"),
            "cfg": _CFG,
        },
        outputs=("GUIDER",),
        is_new_style=True,
    ),
    Node(
        name="SamplerCustomAdvanced",
        category="sampling/custom_sampling",
        module=_CUSTOM,
        run=_sample_custom,
        required={
            "noise": link("NOISE"),
            "guider": link("GUIDER"),
            "sampler": link("SAMPLER"),
            "sigmas": link("SIGMAS"),
            "latent_image": link("LATENT"),
        },
        outputs=("LATENT", "LATENT"),
        output_names=("output", "denoised_output"),
        is_new_style=True,
    ),
    Node(
        name="KSampler",
        category="sampling",
        run=_sample_classic,
        required={
            "model": link("MODEL"),
            "seed": seed(),
            "steps": _STEPS,
            "cfg": _CFG,
            "sampler_name": choice(*SAMPLERS),
            "scheduler": choice(*SCHEDULERS),
            "positive": link("CONDITIONING"),
            "negative": link("CONDITIONING"),
            "latent_image": link("LATENT"),
            "denoise": _DENOISE,
        },
        outputs=("LATENT",),
    ),
)
