"""Nodes that sample a latent, and what they need for it."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from generation.engines.simulator.errors import NodeFailed
from generation.engines.simulator.lora_keys import family_of
from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.node_schema import Node, choice, decimal, link, seed
from generation.engines.simulator.nodes.latents import pictures_of
from generation.engines.simulator.nodes.sampler_names import SAMPLERS, SCHEDULERS
from generation.engines.simulator.nodes.schedules import CUSTOM, DENOISE, STEPS, schedule
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
WRONG_SHAPES = "mat1 and mat2 shapes cannot be multiplied (512x2560 and 7680x3072)"
OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.25 GiB. GPU 0 has a total capacity of 23.99 GiB, 1.04 GiB are free.\n"
    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might have "
    "accidentally set the batch_size to a large number."
)


def sample(
    context: NodeContext, *, guider: Guider, seed_value: int, sampler: str, sigmas: Sigmas, latent: Latent
) -> Latent:
    if context.faults.take("oom") or context.faults.is_armed("full-gpu"):
        context.residency.model = None
        raise NodeFailed(OUT_OF_MEMORY, reported_type="torch.OutOfMemoryError")
    context.load(guider.model)
    _check_what_it_needs(context, guider)
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


def _check_what_it_needs(context: NodeContext, guider: Guider) -> None:
    """What validation lets through, and only the model itself stumbles over."""
    if family_of(guider.model.file_name) == "flux2" and not context.release.knows_klein:
        raise NodeFailed(WRONG_SHAPES, reported_type="RuntimeError")
    for influence in guider.positive.influences:
        if influence.lack:
            raise NodeFailed(influence.lack, reported_type="ValueError")


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
    latent = sample(
        context,
        guider=inputs["guider"],
        seed_value=inputs["noise"],
        sampler=inputs["sampler"],
        sigmas=inputs["sigmas"],
        latent=inputs["latent_image"],
    )
    return Result((latent, latent))


def _sample_classic(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    latent = sample(
        context,
        guider=Guider(inputs["model"], inputs["positive"], inputs["negative"], inputs["cfg"]),
        seed_value=inputs["seed"],
        sampler=inputs["sampler_name"],
        sigmas=schedule(inputs),
        latent=inputs["latent_image"],
    )
    return Result((latent,))


def _guide_with_cfg(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((Guider(inputs["model"], inputs["positive"], inputs["negative"], inputs["cfg"]),))


_CFG = decimal(8.0, 0.0, 100.0, step=0.1, round=0.01)


NODES = (
    Node(
        name="BasicGuider",
        category="sampling/custom_sampling/guiders",
        module=CUSTOM,
        run=lambda _, inputs: Result((Guider(inputs["model"], inputs["conditioning"]),)),
        required={"model": link("MODEL"), "conditioning": link("CONDITIONING")},
        outputs=("GUIDER",),
        is_new_style=True,
    ),
    Node(
        name="CFGGuider",
        category="sampling/custom_sampling/guiders",
        module=CUSTOM,
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
        module=CUSTOM,
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
            "steps": STEPS,
            "cfg": _CFG,
            "sampler_name": choice(*SAMPLERS),
            "scheduler": choice(*SCHEDULERS),
            "positive": link("CONDITIONING"),
            "negative": link("CONDITIONING"),
            "latent_image": link("LATENT"),
            "denoise": DENOISE,
        },
        outputs=("LATENT",),
    ),
)
