"""Nodes that turn text, and pictures to look at, into what guides the sampler."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.node_schema import InputSpec, Node, choice, decimal, link, prompt_text
from generation.engines.simulator.values import (
    Conditioning,
    Influence,
    LoadedFile,
    Result,
    digest_of_pictures,
)

UNION = "union"
NO_VAE = "This Controlnet needs a VAE but none was provided."
UNION_TYPES = (
    *("auto", "openpose", "depth", "hed/pidi/scribble/ted", "canny/lineart/anime_lineart/mlsd", "normal", "segment"),
    *("tile", "repaint"),
)


def _encode_text(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((Conditioning(inputs["text"]),))


def _encode_flux_text(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    short, long = inputs["clip_l"], inputs["t5xxl"]
    text = long if short == long else f"{long}\n{short}"
    return Result((Conditioning(text, inputs["guidance"]),))


def _set_guidance(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((replace(inputs["conditioning"], guidance=inputs["guidance"]),))


def _zero_out(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((replace(inputs["conditioning"], text="", influences=()),))


def _look_at_picture(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((f"{inputs['crop']}:{digest_of_pictures(inputs['image'])}",))


def _apply_style(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    strengths = (inputs["strength"], inputs["strength_type"])
    influence = Influence(inputs["style_model"].file_name, inputs["clip_vision_output"], strengths)
    return Result((_influenced(inputs["conditioning"], influence),))


def _apply_control(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    """Add the control to both conditionings; strength 0 leaves both as they are."""
    positive, negative = inputs["positive"], inputs["negative"]
    if inputs["strength"] == 0:
        return Result((positive, negative))
    control_net: LoadedFile = inputs["control_net"]
    strengths = (control_net.variant, inputs["strength"], inputs["start_percent"], inputs["end_percent"])
    lack = NO_VAE if UNION in control_net.file_name.lower() and "vae" not in inputs else ""
    influence = Influence(control_net.file_name, digest_of_pictures(inputs["image"]), strengths, lack)
    return Result((_influenced(positive, influence), _influenced(negative, influence)))


def _set_control_type(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    return Result((replace(inputs["control_net"], variant=inputs["type"]),))


def _influenced(conditioning: Conditioning, influence: Influence) -> Conditioning:
    return replace(conditioning, influences=(*conditioning.influences, influence))


_GUIDANCE = decimal(3.5, 0.0, 100.0, step=0.1)
_PERCENT_STEP = 0.001
_BOTH = ("CONDITIONING", "CONDITIONING")


def _control_inputs(**more: InputSpec) -> dict[str, InputSpec]:
    return {
        "positive": link("CONDITIONING"),
        "negative": link("CONDITIONING"),
        "control_net": link("CONTROL_NET"),
        **more,
        "image": link("IMAGE"),
        "strength": decimal(1.0, 0.0, 10.0, step=0.01),
        "start_percent": decimal(0.0, 0.0, 1.0, step=_PERCENT_STEP),
        "end_percent": decimal(1.0, 0.0, 1.0, step=_PERCENT_STEP),
    }


NODES = (
    Node(
        name="CLIPTextEncode",
        display_name="CLIP Text Encode (Prompt)",
        category="conditioning",
        run=_encode_text,
        required={"text": prompt_text(), "clip": link("CLIP")},
        outputs=("CONDITIONING",),
    ),
    Node(
        name="CLIPTextEncodeFlux",
        category="advanced/conditioning/flux",
        module="comfy_extras.nodes_flux",
        run=_encode_flux_text,
        required={"clip": link("CLIP"), "clip_l": prompt_text(), "t5xxl": prompt_text(), "guidance": _GUIDANCE},
        outputs=("CONDITIONING",),
        is_new_style=True,
    ),
    Node(
        name="FluxGuidance",
        category="advanced/conditioning/flux",
        module="comfy_extras.nodes_flux",
        run=_set_guidance,
        required={"conditioning": link("CONDITIONING"), "guidance": _GUIDANCE},
        outputs=("CONDITIONING",),
        is_new_style=True,
    ),
    Node(
        name="ConditioningZeroOut",
        category="advanced/conditioning",
        run=_zero_out,
        required={"conditioning": link("CONDITIONING")},
        outputs=("CONDITIONING",),
    ),
    Node(
        name="CLIPVisionEncode",
        display_name="CLIP Vision Encode",
        category="conditioning",
        run=_look_at_picture,
        required={"clip_vision": link("CLIP_VISION"), "image": link("IMAGE"), "crop": choice("center", "none")},
        outputs=("CLIP_VISION_OUTPUT",),
    ),
    Node(
        name="StyleModelApply",
        display_name="Apply Style Model",
        category="conditioning/style_model",
        run=_apply_style,
        required={
            "conditioning": link("CONDITIONING"),
            "style_model": link("STYLE_MODEL"),
            "clip_vision_output": link("CLIP_VISION_OUTPUT"),
            "strength": decimal(1.0, 0.0, 10.0, step=0.001),
            "strength_type": choice("multiply", "attn_bias"),
        },
        outputs=("CONDITIONING",),
    ),
    Node(
        name="ControlNetApplyAdvanced",
        display_name="Apply ControlNet",
        category="conditioning/controlnet",
        run=_apply_control,
        required=_control_inputs(),
        optional={"vae": link("VAE")},
        outputs=_BOTH,
        output_names=("positive", "negative"),
    ),
    Node(
        name="ControlNetApplySD3",
        display_name="Apply Controlnet with VAE",
        category="conditioning/controlnet",
        module="comfy_extras.nodes_sd3",
        run=_apply_control,
        required=_control_inputs(vae=link("VAE")),
        outputs=_BOTH,
        output_names=("positive", "negative"),
        is_new_style=True,
    ),
    Node(
        name="SetUnionControlNetType",
        category="conditioning/controlnet",
        module="comfy_extras.nodes_controlnet",
        run=_set_control_type,
        required={"control_net": link("CONTROL_NET"), "type": choice(*UNION_TYPES)},
        outputs=("CONTROL_NET",),
        is_new_style=True,
    ),
)
