import json
import math

import pytest
from pydantic import ValidationError

from training.params import PRESETS, TrainingParams, resolve

BOUNDS = {
    "steps": (100, 10000),
    "learning_rate": (1e-6, 0.01),
    "gradient_accumulation": (1, 8),
    "network_alpha": (1, 128),
    "sample_every_n_steps": (50, 1000),
    "sample_count": (1, 5),
    "checkpoint_every_n_steps": (100, 2000),
    "max_checkpoints": (1, 4),
}
CHOICES: dict[str, tuple[object, ...]] = {
    "method": ("lora",),
    "lora_rank": (4, 8, 16, 32, 64, 128),
    "resolution": (512, 768, 1024),
    "batch_size": (1, 2, 4),
    "optimizer": ("adamw8bit", "adamw", "prodigy"),
    "scheduler": ("constant", "cosine", "cosine_with_restarts", "linear"),
    "precision": ("bf16", "fp16", "fp32"),
    "caption_strategy": ("trigger_only", "natural", "tags"),
}


def refusal(**config: object) -> str:
    with pytest.raises(ValidationError) as caught:
        resolve(config, None)
    return str(caught.value.errors()[0]["type"])


def test_the_defaults_are_those_of_the_contract() -> None:
    assert TrainingParams().model_dump() == {
        "method": "lora",
        "steps": 1000,
        "learning_rate": 0.0001,
        "lora_rank": 16,
        "resolution": 1024,
        "batch_size": 1,
        "optimizer": "adamw8bit",
        "scheduler": "cosine",
        "precision": "bf16",
        "gradient_accumulation": 1,
        "network_alpha": 16,
        "caption_strategy": "trigger_only",
        "sample_every_n_steps": 100,
        "sample_count": 3,
        "sample_prompts": None,
        "checkpoint_every_n_steps": 250,
        "max_checkpoints": 2,
    }


@pytest.mark.parametrize(("name", "bounds"), BOUNDS.items())
def test_both_ends_of_a_range_are_accepted_and_what_lies_beyond_is_not(name: str, bounds: tuple[float, float]) -> None:
    low, high = bounds
    assert getattr(resolve({name: low}, None), name) == low
    assert getattr(resolve({name: high}, None), name) == high
    assert refusal(**{name: low / 2 if isinstance(low, float) else low - 1}) == "greater_than_equal"
    assert refusal(**{name: high + 1}) == "less_than_equal"


@pytest.mark.parametrize(("name", "choices"), CHOICES.items())
def test_a_choice_takes_exactly_its_values(name: str, choices: tuple[object, ...]) -> None:
    for choice in choices:
        assert getattr(resolve({name: choice}, None), name) == choice
    assert refusal(**{name: 3 if isinstance(choices[0], int) else "other"}) == "literal_error"


def test_every_parameter_is_covered_by_a_range_or_a_choice() -> None:
    assert {*BOUNDS, *CHOICES, "sample_prompts"} == set(TrainingParams.model_fields)


@pytest.mark.parametrize("name", [*BOUNDS, "lora_rank", "resolution", "batch_size"])
@pytest.mark.parametrize("value", [True, "7", None, [4]])
def test_a_number_is_not_taken_from_another_type(name: str, value: object) -> None:
    assert refusal(**{name: value}) in ("int_type", "float_type")


@pytest.mark.parametrize("name", ["steps", "lora_rank", "resolution"])
def test_a_whole_number_is_not_taken_from_a_float(name: str) -> None:
    assert refusal(**{name: 512.0}) == "int_type"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_learning_rate_has_to_be_finite(value: float) -> None:
    assert refusal(learning_rate=value) == "finite_number"


def test_an_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(ValidationError) as caught:
        resolve({"learning_rat": 0.001}, None)
    assert caught.value.errors()[0]["loc"] == ("learning_rat",)


@pytest.mark.parametrize("prompts", [None, [], "a photo", ["a photo", "a portrait"], ["x" * 1000] * 5])
def test_sample_prompts_are_kept_as_sent(prompts: object) -> None:
    assert resolve({"sample_prompts": prompts}, None).sample_prompts == prompts


@pytest.mark.parametrize(
    ("prompts", "kind"),
    [
        ("", "string_too_short"),
        ("   ", "blank"),
        ("bell\u0007", "control_character"),
        ("x" * 1001, "string_too_long"),
        (["fine", ""], "string_too_short"),
        (["x"] * 6, "too_long"),
        (["fine", 7], "string_type"),
        (7, "string_type"),
        ("\ud800", "string_unicode"),
    ],
)
def test_bad_sample_prompts_are_refused_with_one_error(prompts: object, kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        resolve({"sample_prompts": prompts}, None)
    assert [error["type"] for error in caught.value.errors()] == [kind]


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("quick", (500, 8, 512)),
        ("balanced", (1000, 16, 768)),
        ("quality", (2000, 32, 1024)),
        ("custom", (1000, 16, 1024)),
    ],
)
def test_a_preset_fills_in_what_was_not_given(preset: str, expected: tuple[int, int, int]) -> None:
    params = resolve({}, preset)
    assert (params.steps, params.lora_rank, params.resolution) == expected


@pytest.mark.parametrize("preset", PRESETS)
def test_what_was_given_wins_over_the_preset(preset: str) -> None:
    params = resolve({"steps": 123, "lora_rank": 64}, preset)
    assert (params.steps, params.lora_rank) == (123, 64)


def test_an_unknown_preset_is_not_ignored() -> None:
    with pytest.raises(KeyError):
        resolve({}, "best")


@pytest.mark.parametrize("name", TrainingParams.model_fields)
def test_every_parameter_is_described_and_says_whether_it_has_an_effect(name: str) -> None:
    schema = TrainingParams.model_json_schema()["properties"][name]
    assert schema["description"]
    assert schema["wired"] is True or schema["reason"]


def test_parameters_survive_being_stored_as_json() -> None:
    params = resolve({"sample_prompts": ["a", "b"], "learning_rate": 0.002}, "quick")
    assert TrainingParams.model_validate(json.loads(params.model_dump_json())) == params
