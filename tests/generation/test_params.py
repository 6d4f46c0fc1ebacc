"""What may be asked of a generation."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from generation.params import DEFAULT_VARIANT, MAX_SEED, TOGGLES, GenerationParams, generating_of

LORA = {"lora_id": "lora-1"}


def test_only_a_prompt_is_needed() -> None:
    params = GenerationParams(prompt="a photo")
    assert params.model_dump() == {
        "prompt": "a photo",
        "dynamic_prompts": False,
        "negative_prompt": "",
        "width": 1024,
        "height": 1024,
        "steps": 20,
        "guidance_scale": 3.5,
        "seed": None,
        "lora_id": None,
        "lora_strength": 1.0,
        "loras": [],
        "init_image": None,
        "denoise": 0.6,
        "use_controlnet": False,
        "control_image": None,
        "control_type": "canny",
        "control_preprocess": True,
        "control_strength": 0.7,
        "control_start": 0.0,
        "control_end": 1.0,
        "use_ipadapter": False,
        "reference_image": None,
        "reference_strength": 1.0,
        "use_facedetailer": False,
        "use_upscale": False,
        "upscale_factor": 2,
        "model_variant": "flux-dev",
        "workflow": None,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", "x" * 2000),
        ("prompt", "two lines\nand a\ttab, 日本語 🙂"),
        ("negative_prompt", "x" * 1000),
        ("width", 512),
        ("height", 2048),
        ("steps", 1),
        ("steps", 100),
        ("guidance_scale", 1),
        ("guidance_scale", 20.0),
        ("seed", 0),
        ("seed", MAX_SEED),
        ("lora_id", None),
        ("lora_id", "x" * 200),
        ("lora_strength", 0),
        ("lora_strength", 2),
        ("model_variant", "flux-schnell"),
        ("model_variant", "sdxl"),
        ("denoise", 0.05),
        ("denoise", 1),
        ("control_type", "pose"),
        ("control_strength", 2),
        ("upscale_factor", 4),
    ],
)
def test_values_up_to_the_bounds_are_accepted(name: str, value: object) -> None:
    params = GenerationParams.model_validate({"prompt": "a photo", name: value})
    assert getattr(params, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", ""),
        ("prompt", " \n\t"),
        ("prompt", None),
        ("prompt", 7),
        ("prompt", "x" * 2001),
        ("prompt", "a\x00b"),
        ("prompt", "a\x1b[31mb"),
        ("prompt", "a\x7fb"),
        ("prompt", "a\x85b"),
        ("prompt", "\ud800"),
        ("negative_prompt", None),
        ("negative_prompt", "x" * 1001),
        ("negative_prompt", "a\x00b"),
        ("width", 511),
        ("width", 2049),
        ("width", "512"),
        ("width", 512.0),
        ("height", True),
        ("steps", 0),
        ("steps", 101),
        ("steps", "7"),
        ("steps", True),
        ("guidance_scale", 0.9),
        ("guidance_scale", 20.1),
        ("guidance_scale", True),
        ("guidance_scale", "3.5"),
        ("guidance_scale", float("nan")),
        ("guidance_scale", float("inf")),
        ("seed", -1),
        ("seed", MAX_SEED + 1),
        ("seed", 1.0),
        ("lora_id", 7),
        ("lora_id", "x" * 201),
        ("lora_id", "a\x00b"),
        ("lora_strength", -0.1),
        ("lora_strength", 2.1),
        ("lora_strength", float("nan")),
        ("use_upscale", 1),
        ("use_controlnet", "true"),
        ("use_ipadapter", None),
        ("model_variant", "flux-pro"),
        ("model_variant", ["flux-dev"]),
        ("denoise", 0.04),
        ("denoise", 1.01),
        ("init_image", 7),
        ("control_type", "lines"),
        ("control_strength", 2.1),
        ("control_end", 1.1),
        ("upscale_factor", 3),
        ("loras", "lora-1"),
        ("unknown", 1),
    ],
)
def test_anything_else_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        GenerationParams.model_validate({"prompt": "a photo", name: value})
    assert [error["loc"] for error in refusal.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("asked", "used"), [(512, 512), (515, 512), (516, 520), (1021, 1024), (2043, 2040), (2044, 2048), (2047, 2048)]
)
def test_sides_are_rounded_to_the_nearest_multiple_of_eight(asked: int, used: int) -> None:
    params = GenerationParams(prompt="a photo", width=asked, height=asked)
    assert (params.width, params.height) == (used, used)


def test_params_cannot_be_changed() -> None:
    params = GenerationParams(prompt="a photo")
    with pytest.raises(ValidationError):
        params.steps = 5  # type: ignore[misc]


def _declared(name: str) -> dict[str, Any]:
    extra = GenerationParams.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return extra


@pytest.mark.parametrize("name", GenerationParams.model_fields)
def test_every_parameter_says_what_it_is_and_whether_it_has_an_effect(name: str) -> None:
    assert GenerationParams.model_fields[name].description
    declared = _declared(name)
    assert declared["wired"] is True or declared["reason"]


def test_every_switch_is_a_toggle() -> None:
    switches = {name for name, field in GenerationParams.model_fields.items() if field.annotation is bool}
    assert switches == {*TOGGLES, "control_preprocess", "dynamic_prompts"}


def test_the_declared_defaults_are_those_of_the_model_that_paints_by_default() -> None:
    fields, model = GenerationParams.model_fields, generating_of(DEFAULT_VARIANT)
    assert (fields["steps"].default, fields["guidance_scale"].default) == (model.default_steps, model.default_guidance)


@pytest.mark.parametrize(
    ("variant", "steps", "guidance"),
    [("flux-schnell", 4, 1.0), ("flux2-klein-4b", 4, 1.0), ("qwen-image", 20, 2.5), ("sdxl", 25, 7.0)],
)
def test_what_is_not_given_is_what_the_model_is_made_for(variant: str, steps: int, guidance: float) -> None:
    params = GenerationParams(prompt="a photo", model_variant=variant)
    assert (params.steps, params.guidance_scale) == (steps, guidance)


def test_what_is_given_is_kept_for_every_model() -> None:
    params = GenerationParams(prompt="a photo", model_variant="flux-schnell", steps=20, guidance_scale=3.5)
    assert (params.steps, params.guidance_scale) == (20, 3.5)


@pytest.mark.parametrize(("variant", "asked", "used"), [("flux2-klein-4b", 520, 528), ("flux-dev", 520, 520)])
def test_sides_are_fitted_to_what_the_model_can_paint(variant: str, asked: int, used: int) -> None:
    params = GenerationParams(prompt="a photo", width=asked, height=asked, model_variant=variant).fitted()
    assert (params.width, params.height) == (used, used)


@pytest.mark.parametrize("given", [[LORA] * 9, [{"lora_id": ""}], [{"lora_id": "a", "strength": 3}], [{"weight": 1}]])
def test_a_bad_list_of_loras_is_refused(given: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        GenerationParams(prompt="a photo", loras=given)


def test_the_schema_is_json() -> None:
    schema = json.loads(json.dumps(GenerationParams.model_json_schema()))
    assert schema["properties"]["steps"]["maximum"] == 100
    assert schema["properties"]["model_variant"]["enum"][:2] == ["flux-dev", "flux-schnell"]
