"""Parameters that do not fit together are refused or said to have no effect, and never dropped without a word."""

from typing import Any

import pytest

from generation.consistency import contradictions, without_effect
from generation.params import GenerationParams


def _params(**asked: Any) -> GenerationParams:
    return GenerationParams(**{"prompt": "a photo"} | asked)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"use_controlnet": True}, "control_image"),
        ({"use_ipadapter": True}, "reference_image"),
        ({"control_image": "a.png"}, "control_image"),
        ({"reference_image": "a.png"}, "reference_image"),
        ({"use_controlnet": True, "control_image": "a", "control_start": 0.5, "control_end": 0.5}, "control_start"),
        ({"use_upscale": True, "upscale_factor": 4, "width": 1032}, "upscale_factor"),
        ({"init_image": "a.png", "steps": 4, "denoise": 0.81}, "denoise"),
        ({"init_image": "a.png", "steps": 1}, "denoise"),
        ({"lora_id": "a", "loras": [{"lora_id": str(number)} for number in range(8)]}, "loras"),
    ],
)
def test_what_contradicts_itself_is_named(asked: dict[str, Any], named: str) -> None:
    assert [name for name, _ in contradictions(_params(**asked))] == [named]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"use_controlnet": True, "control_image": "a.png"},
        {"use_ipadapter": True, "reference_image": "a.png"},
        {"use_upscale": True, "upscale_factor": 4, "width": 1024},
        {"use_upscale": True, "upscale_factor": 2, "width": 2048},
        {"init_image": "a.png", "steps": 4, "denoise": 0.8},
        {"init_image": "a.png", "steps": 4, "denoise": 1.0},
        {"control_start": 0.9, "control_end": 0.1},
        {"loras": [{"lora_id": str(number)} for number in range(8)]},
    ],
)
def test_what_fits_together_is_taken(asked: dict[str, Any]) -> None:
    assert list(contradictions(_params(**asked))) == []


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"model_variant": "flux-schnell", "guidance_scale": 3.5}, "guidance_scale"),
        ({"model_variant": "sdxl", "guidance_scale": 1, "negative_prompt": "blurry"}, "negative_prompt"),
        ({"init_image": "a.png", "denoise": 1}, "init_image"),
        ({"lora_strength": 0.5}, "lora_strength"),
        ({"denoise": 0.5}, "denoise"),
        ({"control_type": "pose"}, "control_type"),
        ({"control_preprocess": False}, "control_preprocess"),
        ({"control_strength": 1}, "control_strength"),
        ({"reference_strength": 0.5}, "reference_strength"),
        ({"upscale_factor": 4}, "upscale_factor"),
    ],
)
def test_what_changes_nothing_is_named(asked: dict[str, Any], named: str) -> None:
    assert [name for name, _ in without_effect(_params(**asked))] == [named]


@pytest.mark.parametrize("variant", ["flux-dev", "flux-schnell", "sdxl"])
def test_a_negative_prompt_has_an_effect_on_every_model(variant: str) -> None:
    assert list(without_effect(_params(model_variant=variant, negative_prompt="blurry"))) == []
