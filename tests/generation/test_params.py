"""What may be asked of a generation."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from generation.params import MAX_SEED, TOGGLES, GenerationParams


def test_only_a_prompt_is_needed() -> None:
    params = GenerationParams(prompt="a photo")
    assert params.model_dump() == {
        "prompt": "a photo",
        "negative_prompt": "",
        "width": 1024,
        "height": 1024,
        "steps": 20,
        "guidance_scale": 3.5,
        "seed": None,
        "lora_id": None,
        "lora_strength": 1.0,
        "use_controlnet": False,
        "use_ipadapter": False,
        "use_facedetailer": False,
        "use_upscale": False,
        "model_variant": "flux-dev",
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
    assert switches == set(TOGGLES)


def test_the_schema_is_json() -> None:
    schema = json.loads(json.dumps(GenerationParams.model_json_schema()))
    assert schema["properties"]["steps"]["maximum"] == 100
    assert schema["properties"]["negative_prompt"]["wired"] is False
