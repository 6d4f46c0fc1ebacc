"""Nodes that say how a sampling goes: its noise, its sampler and its schedule."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.node_schema import Node, choice, decimal, integer, link, seed
from generation.engines.simulator.nodes.latents import image_size
from generation.engines.simulator.nodes.sampler_names import SAMPLERS, SCHEDULERS
from generation.engines.simulator.values import Result, Sigmas


def schedule(inputs: Mapping[str, Any]) -> Sigmas:
    """Without any denoising there are no steps, and the latent comes out as it went in."""
    steps = inputs["steps"] if inputs["denoise"] > 0 else 0
    return Sigmas(inputs["scheduler"], steps, inputs["denoise"])


def _set_flux_sampling(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    sampling = tuple(float(inputs[name]) for name in ("max_shift", "base_shift", "width", "height"))
    return Result((replace(inputs["model"], sampling=sampling),))


def _select_sampler(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    """Old releases find out only here that there is no such sampler."""
    name = inputs["sampler_name"]
    if name not in SAMPLERS:
        raise AttributeError(f"module 'comfy.k_diffusion.sampling' has no attribute 'sample_{name}'")
    return Result((name,))


def _schedule_flux2(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((Sigmas(f"flux2 {inputs['width']}x{inputs['height']}", inputs["steps"], 1.0),))


def _split_at_noise(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    """The second part starts where only so much noise is left."""
    sigmas: Sigmas = inputs["sigmas"]
    low_steps = round(sigmas.steps * inputs["denoise"])
    low = replace(sigmas, steps=low_steps, denoise=sigmas.denoise * inputs["denoise"])
    return Result((replace(sigmas, steps=sigmas.steps - low_steps), low))


def _shift(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((replace(inputs["model"], sampling=(inputs["shift"],)),))


def _pass_on(name: str) -> Callable[[NodeContext, Mapping[str, Any]], Result]:
    return lambda _, inputs: Result((inputs[name],))


STEPS = integer(20, 1, 10000)
DENOISE = decimal(1.0, 0.0, 1.0, step=0.01)
CUSTOM = "comfy_extras.nodes_custom_sampler"

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
        module=CUSTOM,
        run=_pass_on("noise_seed"),
        required={"noise_seed": seed()},
        outputs=("NOISE",),
        is_new_style=True,
    ),
    Node(
        name="KSamplerSelect",
        category="sampling/custom_sampling/samplers",
        module=CUSTOM,
        run=_select_sampler,
        required={"sampler_name": choice(*SAMPLERS)},
        outputs=("SAMPLER",),
        is_new_style=True,
    ),
    Node(
        name="BasicScheduler",
        category="sampling/custom_sampling/schedulers",
        module=CUSTOM,
        run=lambda _, inputs: Result((schedule(inputs),)),
        required={"model": link("MODEL"), "scheduler": choice(*SCHEDULERS), "steps": STEPS, "denoise": DENOISE},
        outputs=("SIGMAS",),
        is_new_style=True,
    ),
    Node(
        name="ModelSamplingAuraFlow",
        category="advanced/model",
        module="comfy_extras.nodes_model_advanced",
        run=_shift,
        required={"model": link("MODEL"), "shift": decimal(1.73, 0.0, 100.0, step=0.01)},
        outputs=("MODEL",),
    ),
    Node(
        name="Flux2Scheduler",
        category="sampling/custom_sampling/schedulers",
        module="comfy_extras.nodes_flux",
        run=_schedule_flux2,
        required={
            "steps": integer(20, 1, 4096),
            "width": integer(1024, 16, 16384, step=1),
            "height": integer(1024, 16, 16384, step=1),
        },
        outputs=("SIGMAS",),
        is_new_style=True,
    ),
    Node(
        name="SplitSigmasDenoise",
        category="sampling/custom_sampling/sigmas",
        module=CUSTOM,
        run=_split_at_noise,
        required={"sigmas": link("SIGMAS"), "denoise": DENOISE},
        outputs=("SIGMAS", "SIGMAS"),
        output_names=("high_sigmas", "low_sigmas"),
        is_new_style=True,
    ),
)
